/* SPDX-License-Identifier: MIT
 *
 * Checks the four calls by which a program limits its own address space [M7]: each gives back what
 * the heap has reserved and cannot use then, and each fails as libc's does.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tap.h"

enum { NCALLS = 4 };
static const char *const names[NCALLS] = {"setrlimit", "setrlimit64", "prlimit", "prlimit64"};

/* Sets the limit of a process by one of the calls; the first two only know the calling one. */
static int set(int call, pid_t pid, int resource, const struct rlimit *limit)
{
    const struct rlimit64 *limit64 = (const struct rlimit64 *)(const void *)limit;
    switch (call) {
    case 0:
        return setrlimit((__rlimit_resource_t)resource, limit);
    case 1:
        return setrlimit64((__rlimit_resource_t)resource, limit64);
    case 2:
        return prlimit(pid, (enum __rlimit_resource)resource, limit, NULL);
    default:
        return prlimit64(pid, (enum __rlimit_resource)resource, limit64, NULL);
    }
}

/* In a child, whose limit nothing else suffers from. Half of what the process has is the limit. */
static bool gives_back(int call, pid_t pid)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        size_t before = status_kib("VmSize") * 1024;
        struct rlimit limit = {before / 2, RLIM_INFINITY};
        bool set_it = set(call, pid == 0 ? 0 : getpid(), RLIMIT_AS, &limit) == 0;
        size_t after = status_kib("VmSize") * 1024;
        void *p = opaque(malloc(hide(1 << 20)));
        _exit(set_it && after <= limit.rlim_cur && p != NULL ? 0 : 1);
    }
    return waitpid(child, &status, 0) == child && status == 0;
}

/* Another limit, of the same number or less, gives nothing back. */
static bool keeps(int call)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        size_t before = status_kib("VmSize") * 1024;
        struct rlimit limit;
        getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur = before / 2 < limit.rlim_max ? before / 2 : limit.rlim_max;
        bool set_it = set(call, 0, RLIMIT_FSIZE, &limit) == 0;
        _exit(set_it && status_kib("VmSize") * 1024 + (1 << 20) > before ? 0 : 1);
    }
    return waitpid(child, &status, 0) == child && status == 0;
}

/* No limit at all leaves what is reserved as it is; nor is this process meant by the limit of
 * another one. */
static bool keeps_all(int call, bool of_another)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        size_t before = status_kib("VmSize") * 1024;
        pid_t other = of_another ? fork() : 0;
        if (of_another && other == 0) {
            pause();
            _exit(0);
        }
        struct rlimit limit = {of_another ? before / 2 : RLIM_INFINITY, RLIM_INFINITY};
        bool set_it = set(call, other, RLIMIT_AS, &limit) == 0;
        bool kept = status_kib("VmSize") * 1024 + (1 << 20) > before;
        if (of_another)
            kill(other, SIGKILL);
        _exit(set_it && kept ? 0 : 1);
    }
    return waitpid(child, &status, 0) == child && status == 0;
}

static bool fails(int call, int resource, const struct rlimit *limit, int number)
{
    errno = 0;
    return set(call, 0, resource, limit) == -1 && errno == number;
}

int main(void)
{
    char what[100];
    free(opaque(malloc(hide(1000))));
    for (int call = 0; call < NCALLS; call++) {
        struct rlimit wrong = {2, 1};
        snprintf(what, sizeof what, "%s gives back what the limit leaves no room for", names[call]);
        check(gives_back(call, 0), what);
        snprintf(what, sizeof what, "%s: another limit gives nothing back", names[call]);
        check(keeps(call), what);
        snprintf(what, sizeof what, "%s fails with EINVAL", names[call]);
        check(fails(call, 99, &(struct rlimit){1, 1}, EINVAL) &&
                  fails(call, RLIMIT_AS, &wrong, EINVAL),
              what);
    }
    check(gives_back(2, 1) && gives_back(3, 1), "prlimit of the process by its number");
    check(keeps_all(2, true) && keeps_all(3, true), "prlimit of another process");
    check(keeps_all(0, false) && keeps_all(2, false), "no limit gives nothing back");
    struct rlimit was = {0, 0};
    struct rlimit64 was64 = {0, 0};
    check(prlimit(0, RLIMIT_NOFILE, NULL, &was) == 0 && was.rlim_cur > 0 &&
              prlimit64(0, RLIMIT_NOFILE, NULL, &was64) == 0 && was64.rlim_cur == was.rlim_cur,
          "prlimit reads a limit");
    errno = 0;
    check(prlimit(1 << 30, RLIMIT_NOFILE, NULL, &was) == -1 && errno == ESRCH,
          "prlimit of no process fails with ESRCH");
    return done();
}

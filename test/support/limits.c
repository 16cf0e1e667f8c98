/* SPDX-License-Identifier: MIT
 *
 * limits.c - what a program has of its memory under limits [M7]. m07_limits.sh sets limits and
 * says what the answers must be.
 *
 *     limits had             prints how many MiB malloc grants, in pieces of 1 MiB
 *     limits later KIND MIB  limits its own data or address space to MIB first, then does that
 *     limits twice           limits its address space to 1 GiB, then to 256 MiB, and maps 10 MiB;
 *                            prints how many MiB malloc grants, which must leave that memory alone
 *     limits vfork           a child of vfork limits itself to 1 GiB; then tries to get 3 GiB
 *     limits forked          does that in a child of fork
 *     limits hole            limits its address space to 1 GiB, maps memory where the heap was, and
 *                            calls memcpy and free with that
 *     limits first           prints whether malloc has granted 100 bytes, and errno
 *     limits open            prints how many KiB around an object can be written to, are only
 *                            reserved, and are resident, when 5,000 KiB are in use
 *     limits lock            locks all memory, and prints how many KiB are resident then
 *     limits abort           uses 5,000 KiB, and aborts
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tap.h"

/* Prints without stdio, whose buffer would be another object. */
static void say(const char *what, long n)
{
    char text[64];
    int length = snprintf(text, sizeof text, "%s %ld\n", what, n);
    if (write(1, text, (size_t)length) != length) {
        _exit(3);
    }
}

static void take_all(void)
{
    long n = 0;
    while (opaque(malloc((size_t)1 << 20)) != NULL) {
        n++;
    }
    say("MiB", n);
    say("errno", errno);
}

static void *nothing(void *unused)
{
    return opaque(unused);
}

/* After a limit on data, a program must be able to start a thread and to map memory. The limit is
 * far above what it uses. */
static void limit_itself(const char *kind, const char *mib)
{
    bool data = strcmp(kind, "data") == 0;
    rlim_t nbytes = (rlim_t)strtoul(mib, NULL, 10) << 20;
    struct rlimit limit = {nbytes, nbytes};
    pthread_t thread;
    free(opaque(malloc(100)));
    if (setrlimit(data ? RLIMIT_DATA : RLIMIT_AS, &limit) != 0) {
        _exit(3);
    }
    bool started = pthread_create(&thread, NULL, nothing, NULL) == 0;
    if (started) {
        pthread_join(thread, NULL);
    }
    void *mapped = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped != MAP_FAILED) {
        munmap(mapped, 64 << 20);
    }
    say("thread", started);
    say("map", mapped != MAP_FAILED);
    say("3 GiB", opaque(malloc((size_t)3 << 30)) != NULL);
    take_all();
}

static void set_address_limit(rlim_t mib)
{
    struct rlimit limit = {mib << 20, mib << 20};
    if (setrlimit(RLIMIT_AS, &limit) != 0) {
        _exit(3);
    }
}

static void limit_twice(void)
{
    enum { NBYTES = 10 << 20 };
    free(opaque(malloc(100)));
    set_address_limit(1024);
    set_address_limit(256);
    unsigned char *mapped =
        mmap(NULL, NBYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        _exit(3);
    }
    memset(mapped, 7, NBYTES);
    long n = 0;
    for (void *object; (object = opaque(malloc((size_t)1 << 20))) != NULL; n++) {
        memset(object, 1, (size_t)1 << 20);
    }
    say("MiB", n);
    for (long i = 0; i < NBYTES; i++) {
        if (mapped[i] != 7) {
            _exit(4);
        }
    }
}

static void limit_in_vfork(void)
{
    free(opaque(malloc(100)));
    pid_t child = vfork();
    if (child == 0) {
        set_address_limit(1024);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    say("3 GiB", opaque(malloc((size_t)3 << 30)) != NULL);
}

static void limit_in_forked(void)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        limit_in_vfork();
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || status != 0) {
        _exit(3);
    }
}

/* Of a heap of 16 GiB the first and the last hundreds of MiB stay. */
static void use_hole(void)
{
    enum { NBYTES = 4096 };
    static char text[NBYTES] = "text";
    char *object = opaque(malloc(100));
    set_address_limit(1024);
    char *mapped = mmap(object + ((size_t)8 << 30), NBYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (mapped != object + ((size_t)8 << 30)) {
        _exit(3);
    }
    memcpy(mapped, text, hide(NBYTES));
    say("copied", strcmp(opaque(mapped), "text") == 0);
    free(opaque(mapped));
    free(opaque(mapped + 100));
}

static void use_memory(void)
{
    for (int i = 0; i < 1000; i++) {
        memset(opaque(malloc(5120)), 1, 5120);
    }
}

/* The mappings that follow each other without a gap, and among which the object lies, are the
 * region and perhaps a few pages of libraries. */
static void look_at_region(void)
{
    char line[512], how[8];
    unsigned long from, to, end = 0, writable = 0, reserved = 0;
    unsigned long object = (unsigned long)(uintptr_t)opaque(malloc(100));
    bool found = false;
    use_memory();
    FILE *file = fopen("/proc/self/maps", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, how) != 3 || strchr(line, '/') != NULL) {
            continue;
        }
        if (from != end) {
            if (found) {
                break;
            }
            writable = reserved = 0;
        }
        *(how[1] == 'w' ? &writable : &reserved) += (to - from) >> 10;
        found |= from <= object && object < to;
        end = to;
    }
    if (!found) {
        _exit(3);
    }
    say("writable", (long)writable);
    say("reserved", (long)reserved);
    say("resident", (long)status_kib("VmRSS"));
}

static void lock_all(void)
{
    free(opaque(malloc(100)));
    int result = mlockall(MCL_CURRENT | MCL_FUTURE);
    use_memory();
    say("locked", result == 0);
    say("resident", (long)status_kib("VmRSS"));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "had") == 0) {
        take_all();
    } else if (strcmp(what, "later") == 0 && argc == 4) {
        limit_itself(argv[2], argv[3]);
    } else if (strcmp(what, "twice") == 0) {
        limit_twice();
    } else if (strcmp(what, "vfork") == 0) {
        limit_in_vfork();
    } else if (strcmp(what, "forked") == 0) {
        limit_in_forked();
    } else if (strcmp(what, "hole") == 0) {
        use_hole();
    } else if (strcmp(what, "first") == 0) {
        say("granted", opaque(malloc(100)) != NULL);
        say("errno", errno);
    } else if (strcmp(what, "open") == 0) {
        look_at_region();
    } else if (strcmp(what, "lock") == 0) {
        lock_all();
    } else if (strcmp(what, "abort") == 0) {
        use_memory();
        abort();
    } else {
        return 2;
    }
    return 0;
}

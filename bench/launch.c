/* SPDX-License-Identifier: MIT
 *
 * launch.c - runs a program with a malloc preloaded, and prints its time and its memory.
 *
 *     launch LIBRARY|- PROGRAM [ARGUMENT]...
 *
 *     LIBRARY   the malloc to preload; - for none
 *
 * Prints one line: the processor time in nanoseconds, the peak memory in KiB of the largest process
 * that was waited for, and the exit status as a shell reports it. Processor time is the program's
 * and the system's for it, in all its threads; what it waits for other programs, or for the host of
 * a virtual machine, is no part of it. The program's own output is discarded. launch is a small
 * program of its own because the peak of a child begins with the memory of its parent: that of a
 * shell would be large.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIMIT_SECONDS = 300 }; /* a program that runs longer hangs, and is killed */

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "launch: %s: %s\n", what, strerror(errno));
    _exit(127);
}

static _Noreturn void become(const char *library, char **command)
{
    int null = open("/dev/null", O_WRONLY);

    if (null < 0 || dup2(null, STDOUT_FILENO) < 0)
        give_up("/dev/null");
    if (strcmp(library, "-") != 0 && setenv("LD_PRELOAD", library, 1) != 0)
        give_up("LD_PRELOAD");
    alarm(LIMIT_SECONDS);
    execvp(command[0], command);
    give_up(command[0]);
}

static long long nanoseconds(const struct timeval *time)
{
    return time->tv_sec * 1000000000LL + time->tv_usec * 1000LL;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    int status;

    if (argc < 3) {
        fputs("usage: launch LIBRARY|- PROGRAM [ARGUMENT]...\n", stderr);
        return 127;
    }
    pid_t child = fork();
    if (child < 0)
        give_up("fork");
    if (child == 0)
        become(argv[1], argv + 2);
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR)
            give_up("wait4");
    printf("%lld %ld %d\n", nanoseconds(&usage.ru_utime) + nanoseconds(&usage.ru_stime),
           usage.ru_maxrss, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * threads.c HOW - has a thread that mem cannot stop, or not look for as usual, until its input
 * ends: a test program for `mem` on processes.
 *
 *     spawn    a thread waits in vfork, where it cannot be stopped, for a child process that does
 *              not end by itself
 *     alone    the first thread has ended, and another one goes on
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

void *kept;

/* The child process ends with this one. */
static void *spawn(void *unused)
{
    if (vfork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return unused;
}

static void *await_end_of_input(void *unused)
{
    printf("ready\n");
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    printf("alive\n");
    exit(0);
    return unused;
}

static void start(void *(*run)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, NULL) != 0)
        abort();
}

int main(int argc, char **argv)
{
    kept = malloc(4321);
    if (argc == 2 && strcmp(argv[1], "alone") == 0) {
        start(await_end_of_input);
        pthread_exit(NULL);
    }
    if (argc != 2 || strcmp(argv[1], "spawn") != 0)
        return 2;
    start(spawn);
    await_end_of_input(NULL);
}

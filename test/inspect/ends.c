/* SPDX-License-Identifier: MIT
 *
 * ends.c LEAKS HOW - makes LEAKS leaks of 1234 bytes, keeps an object of 4321 bytes, and ends: the
 * test program for `mem leaks -- COMMAND`.
 *
 *     return, exit, abort, kill     the first thread does that; return is of status 3
 *     thread                        another thread calls exit, while a third one waits
 *     alone                         the first thread ends by itself; another one waits for that,
 *                                   and then ends, too
 *     execute                       another thread executes /bin/true, while the first one waits
 *     stop                          it prints its number, stops until SIGCONT, and returns
 *     wait                          it prints its number, waits until SIGTERM, and exits (5)
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *kept;
static volatile sig_atomic_t is_over;
static pthread_t first;

static void note_signal(int number)
{
    (void)number;
    is_over = 1;
}

static __attribute__((noinline)) void leak(int n)
{
    for (int i = 0; i < n; i++)
        memset(malloc(1234), 0, 1234);
}

/* Overwrites what earlier calls have left in the stack. */
static __attribute__((noinline)) void clear_stack(void)
{
    char zeros[16 << 10];
    memset(zeros, 0, sizeof zeros);
    __asm__ volatile("" : : "r"(zeros) : "memory");
}

static void *wait_for_ever(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void *end(void *how)
{
    usleep(50000); /* until the others wait */
    if (strcmp(how, "thread") == 0)
        exit(4);
    if (strcmp(how, "execute") == 0)
        execl("/bin/true", "true", (char *)NULL);
    if (strcmp(how, "alone") == 0)
        pthread_join(first, NULL);
    return NULL;
}

static void start(void *(*run)(void *), void *how)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, how) != 0)
        abort();
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    char *how = argv[2];
    kept = malloc(4321);
    leak(atoi(argv[1]));
    clear_stack();
    if (strcmp(how, "exit") == 0)
        exit(0);
    if (strcmp(how, "abort") == 0)
        abort();
    if (strcmp(how, "kill") == 0)
        raise(SIGKILL);
    first = pthread_self();
    signal(SIGTERM, note_signal);
    if (strcmp(how, "stop") == 0 || strcmp(how, "wait") == 0) {
        printf("%d\n", getpid());
        fflush(stdout);
    }
    if (strcmp(how, "stop") == 0) {
        raise(SIGSTOP);
        return 0;
    }
    if (strcmp(how, "wait") == 0) {
        while (!is_over)
            usleep(1000);
        exit(5);
    }
    if (strcmp(how, "thread") == 0)
        start(wait_for_ever, NULL);
    if (strcmp(how, "return") == 0)
        return 3;
    start(end, how);
    if (strcmp(how, "alone") == 0)
        pthread_exit(NULL);
    wait_for_ever(NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * m05_handler.c - a signal handler forks that has interrupted malloc or free in the only thread of
 * the process: parent and child go on with the call [M5].
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "patience.h"
#include "tap.h"

static bool ended_well(pid_t child)
{
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

enum { MOST = 100 };
static pid_t interrupted[MOST];
static volatile sig_atomic_t nwanted, ninterrupted, is_child;

/* One signal, a while from now: from a timer that goes on, a slow machine would have the next one
 * before the program has gone on. */
static void interrupt_soon(void)
{
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, 1000}}, NULL);
}

static void fork_in_handler(int signal_number)
{
    (void)signal_number;
    pid_t child = fork();
    is_child = child == 0;
    interrupted[ninterrupted++] = child;
    if (ninterrupted < nwanted && !is_child) {
        interrupt_soon();
    }
}

/* A timer interrupts the only thread of the process, mostly in a call that has the heap's lock, and
 * the handler forks. Parent and child go on with the call. */
static void forks_in_a_handler(void)
{
    size_t failed = 0;
    nwanted = share_of(MOST);
    signal(SIGALRM, fork_in_handler);
    interrupt_soon();
    while (ninterrupted < nwanted && !is_child) {
        free(opaque(malloc(300000)));
    }
    if (is_child) {
        char *p = opaque(malloc(100)), *q = opaque(malloc(300000));
        free(p);
        free(q);
        _exit(p != NULL && q != NULL ? 0 : 1);
    }
    for (int i = 0; i < nwanted; i++) {
        failed += !ended_well(interrupted[i]);
    }
    check(failed == 0, "children of a signal handler that forks go on with the call, and allocate");
}

int main(void)
{
    forks_in_a_handler();
    return done();
}

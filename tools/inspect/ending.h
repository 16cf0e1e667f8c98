/* SPDX-License-Identifier: MIT
 *
 * ending.h - runs a program until it ends, and holds it at that moment, when its memory is still
 * there.
 *
 *     clone    each new thread is traced from its beginning
 *     signal   delivered as it came
 *     exit     a thread stops (PTRACE_EVENT_EXIT). If the process goes on without it, it goes on,
 *              too; else all threads are held there, with their registers
 *
 * A program that executes another one goes on as that one. Processes that it starts are not looked
 * at. If mem is killed, the program goes on.
 */
#ifndef ENDING_H
#define ENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

struct ending {
    pid_t pid;
    pid_t *held;         /* the threads that are held, */
    size_t n;            /* and how many; 0: the program has ended already */
    int reason;          /* why the command was not executed: a number of errno; 0: it was */
    double wall_seconds; /* from its start until its threads were held */
    bool has_ended;
    int wait_status;     /* when it has ended, */
    struct rusage usage; /* and what it has used, with the processes that it has waited for */
};

/* Runs a program, its name and its arguments, until it ends. Returns false, after a message, if it
 * cannot be traced or executed, or has ended in a way that leaves nothing to look at. */
bool ending_await(struct ending *e, char **argv);

/* Lets it end, and sets wait_status and usage. */
void ending_let_go(struct ending *e);

#endif

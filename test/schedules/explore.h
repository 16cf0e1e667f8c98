/* SPDX-License-Identifier: MIT
 *
 * explore.h - runs the code of src in all schedules of two or three threads with few surprises.
 *
 * A scenario is a heap that `open` has prepared, what each thread then does, and what has to be
 * true afterwards. The explorer runs it again and again, each time in another schedule, until it
 * has tried every schedule with at most two surprises, or a given number. A surprise is a switch
 * away from a thread that could go on, or an atomic load that returns an older value than the
 * newest one; switches because a thread waits or ends are free. Most errors in concurrent programs
 * need one or two (Musuvathi and Qadeer, "Iterative Context Bounding for Systematic Testing of
 * Multithreaded Programs", 2007).
 *
 * The threads are coroutines in one thread of the system. They can be switched at each atomic
 * operation of src, and halfway through a memmove, memcpy or memset of the library. To this end src
 * is compiled with the instrumentation for ThreadSanitizer, and explore.c has the functions that
 * this calls. So what runs is the code as it is, and nothing in it is written for the explorer.
 *
 *   EX1  a load may return what C11 and the machines of today let it return (memory.h), and a data
 *        race is a failure. In the child of a fork all that the other threads have stored is seen;
 *   EX2  before each schedule all variables of the program, thread-local ones as well, and the
 *        memory of `explore_memory` are made what they were when `open` returned;
 *   EX3  an assertion that fails, a crash, a thread that waits for ever and what `check` refuses
 *        are failures. The schedule is printed.
 */
#ifndef EXPLORE_H
#define EXPLORE_H

#include <stdbool.h>
#include <stddef.h>

enum { NTHREADS_MAX = 3 };

struct scenario {
    const char *name;
    void (*open)(void);
    void (*thread[NTHREADS_MAX])(void);
    void (*check)(void);
    bool each_write_counts; /* threads may be switched before each write, too */
    bool lookups_race;      /* plain accesses race: what is read is believed only afterwards */
    bool waits_in_lock; /* explores how a thread waits for a lock, too, instead of just waiting */
};

/* The scenarios, up to one without a name. */
extern const struct scenario slots_scenarios[], readers_scenarios[], lock_scenarios[];

/* Memory for the heaps of a scenario: EXPLORE_BYTES, aligned to 64 KiB. */
enum { EXPLORE_BYTES = 1 << 24 };
extern unsigned char *explore_memory;

/* Lets `open` and `check` act in the name of a thread. */
void explore_as(int thread);

/* Says that what is not so has been found: the schedule is a failure. Does not return. */
_Noreturn void explore_fail(const char *what);

static inline void explore_expect(bool so, const char *what)
{
    if (!so)
        explore_fail(what);
}

/* Ends another thread where it is, as fork does in the child. */
void explore_end_thread(int thread);

/* For `open`: the system has no barrier in this scenario. */
void explore_refuse_barrier(void);

/* Says that the thread now reads or writes what is not atomic: a race is a failure, even where
 * lookups race. */
void explore_use(const void *place, size_t nbytes, bool writes);

/* A place where the thread may be switched, for what a scenario does itself. */
void explore_point(void);

#endif

/* SPDX-License-Identifier: MIT
 *
 * thread.h - the two words of each thread, and when nobody is looking any more.
 *
 * Threads read without the lock what describes a span, and what they have to themselves
 * lies in the region. Before that memory becomes something else, who began to read
 * while it was still the old must have finished:
 *
 *     thread      busy = 1 | looks: is it still there? | reads, takes, frees | busy = 0
 *     the other   says that it is gone | barrier on all processors | waits for busy == 0
 *
 *   TH1  a thread sets `busy` before it looks, so that it either sees that the thing is
 *       gone, or is seen to be busy: never neither. A fence on each side would do that
 *       (Dekker); here the other side has the system run one on every processor that
 *       runs the process (membarrier), and the thread needs none;
 *   TH2  who waits has the lock, so a thread clears `busy` before it asks for the lock.
 *
 * A thread pays two stores to a line of its own. The idea is McKenney's read-copy-
 * update; that one side can pay for both is from Dice, Huang and Yang, "Asymmetric
 * Dekker Synchronization", 2001.
 */
#ifndef THREAD_H
#define THREAD_H

#include "base/base.h"

#if defined(__has_include)
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define SINGLE_THREADED __libc_single_threaded
#endif
#endif
#ifndef SINGLE_THREADED
#define SINGLE_THREADED false
#endif

struct tcache;

/* In thread-local memory. Zero: it has nothing, and may get it. */
struct thread {
    struct tcache *tcache; /* what it has to itself (cache.h); NULL: nothing, or no more */
    bool busy;
    bool is_awaited; /* somebody will be told when it ends */
    bool has_ended;  /* it gets no more */
    uint8_t nfrees;  /* so far, of one that has never asked for memory */
};
static_assert(sizeof(struct thread) <= 2 * sizeof(void *), "M5: two words of TLS");

/* All threads that may be looking at a heap, guarded by its lock. */
struct member {
    struct thread *thread;
    int id; /* to the system */
    struct member *next, *previous;
};

struct threads {
    struct member *first;
};

/* Can threads look without the lock at all? Not on a system without such a barrier. */
bool threads_open(void);

void threads_join_locked(struct threads *all, struct member *m, struct thread *t);
void threads_leave_locked(struct threads *all, struct member *m);

/* True once each thread has been seen not to be busy since the call; false if the
 * system refuses the barrier, so that nothing is known. */
bool threads_wait_locked(const struct threads *all);

static inline void reader_enter(struct thread *t)
{
    __atomic_store_n(&t->busy, true, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the compiler must keep the order [TH1] */
}

static inline void reader_leave(struct thread *t)
{
    __atomic_store_n(&t->busy, false, __ATOMIC_RELEASE);
}

/* Is it certain that the process has no other thread? Then none begins during a call either. */
static inline bool thread_is_the_only(void)
{
    return SINGLE_THREADED;
}

/* NULL: there is none. To be relied on only while busy. */
static inline struct tcache *thread_tcache(const struct thread *t)
{
    return __atomic_load_n(&t->tcache, __ATOMIC_ACQUIRE);
}

/* Who has the lock gives and takes it. */
static inline void thread_set_tcache(struct thread *t, struct tcache *c)
{
    __atomic_store_n(&t->tcache, c, __ATOMIC_RELEASE);
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * thread.h - the two words of each thread, and the threads that may be readers of a heap.
 *
 * A thread reads the descriptors of spans, and its own thread cache, without the lock. Both lie in
 * the region. Before the lock holder reuses such memory, it waits until each thread that may still
 * be reading there has left (a grace period: base/grace.h).
 *
 *   TH1  a thread is a reader from reader_enter to reader_leave, and looks for its thread cache and
 *        at a span's published fields only in between;
 *   TH2  the lock holder may wait for readers, so a thread leaves before it asks for the lock.
 */
#ifndef THREAD_H
#define THREAD_H

#include "base/grace.h"

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
    uint32_t busy;         /* 1: the thread is a reader */
    bool is_awaited;       /* somebody will be told when it ends */
    bool has_ended;        /* it gets no more */
    uint8_t nfrees;        /* so far, of one that has never asked for memory */
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

/* The calling thread begins and ends to read without the lock [TH1]. A reader does not enter again
 * before it has left. */
static inline void reader_enter(struct thread *t)
{
    grace_enter(&t->busy, 1);
}

static inline void reader_leave(struct thread *t)
{
    grace_leave(&t->busy, 0);
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

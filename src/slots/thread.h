/* SPDX-License-Identifier: MIT
 *
 * thread.h - the two words of each thread, and the threads that may be readers of a heap.
 *
 * A thread reads the descriptors of spans, and its own thread cache, without the lock. Both lie in
 * the region. Before the lock holder reuses such memory, it waits until each thread that may still
 * be reading there has left (a grace period: base/grace.h).
 *
 *   TH1  a thread is a reader from reader_enter to reader_leave. Only in between does it look for
 *        its thread cache, and at the published fields of spans;
 *   TH2  the lock holder may wait for readers, so a thread leaves before it asks for the lock.
 */
#ifndef THREAD_H
#define THREAD_H

#include "base/grace.h"
#include "base/os.h"

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

/* What a thread has in thread-local memory. All 0: it has no cache, and may get one. */
struct thread {
    struct tcache *tcache; /* its cache (tcache.h), or NULL */
    uint32_t busy;         /* 1: the thread is a reader */
    bool is_awaited;       /* its end will be noticed: a destructor is registered */
    bool has_ended;        /* its destructor has run: it gets no cache again */
    uint8_t nfrees;        /* so far, if it has never asked for memory */
};
static_assert(sizeof(struct thread) <= 2 * sizeof(void *), "M5: two words of TLS");

/* A thread that may be a reader of the heap. It lies at the begin of the thread's cache, under
 * the lock. */
struct member {
    struct thread *thread;
    const void *self; /* the thread's os_thread_pointer */
    struct member *next, *previous;
};

/* All threads that may be readers of the heap, newest first; under the lock. */
struct threads {
    struct member *first;
};

/* Returns whether the calling thread may be a reader, or stay one. If not, there are other threads,
 * and the system has no barrier: then each gives its cache up, and gets no other. Asks the system
 * for the barrier if there are other threads [GR4], so that the caller best holds no lock. */
bool threads_may_read(void);

/* Adds a thread, which may be a reader from now on: the calling thread, or the one thread of a
 * forked child. The caller holds the lock. */
void threads_join_locked(struct threads *all, struct member *m, struct thread *t);

/* Removes a thread, which is not a reader now and has lost its cache. The caller holds the lock. */
void threads_leave_locked(struct threads *all, struct member *m);

/* Returns true once each thread has been seen not to be a reader since the call. Returns false
 * if the system refuses the barrier: then nothing is known. Makes no system call if no thread but
 * the calling one may be a reader. The caller holds the lock, and is no reader [TH2]. */
bool threads_wait_locked(const struct threads *all);

/* Returns true if it is known, without asking the system, that no thread is a reader: no thread but
 * the calling one may be one. The caller holds the lock, and is no reader. */
bool threads_are_no_readers_locked(const struct threads *all);

/* The calling thread becomes a reader, and stops being one [TH1]. It does not enter twice. */
static inline void reader_enter(struct thread *t)
{
    assert(t->busy == 0); /* the inner reader's end would be the end of both */
    grace_enter(&t->busy, 1);
}

static inline void reader_leave(struct thread *t)
{
    grace_leave(&t->busy, 0);
}

/* Returns true if it is certain that the process has only this thread; it starts no other during
 * a call of the library. */
static inline bool thread_is_the_only(void)
{
    return SINGLE_THREADED;
}

/* Returns the cache of a thread, or NULL. The result is valid while the thread is a reader. */
static inline struct tcache *thread_tcache(const struct thread *t)
{
    return __atomic_load_n(&t->tcache, __ATOMIC_ACQUIRE);
}

/* Gives a thread a cache, or takes it away. The caller holds the lock. */
static inline void thread_set_tcache(struct thread *t, struct tcache *c)
{
    __atomic_store_n(&t->tcache, c, __ATOMIC_RELEASE);
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * lock.h - a lock of four bytes, on which threads sleep by a futex: the second mutex of Drepper,
 * "Futexes Are Tricky", 2011, with a short spin before it.
 *
 *     FREE --lock_take--> TAKEN --another thread sleeps--> WAITED_FOR
 *       ^                   |                                  | wakes one thread
 *       +---lock_release----+-----------lock_release-----------+
 *
 * It is not a lock of the C library, since a program may replace the functions of that by its own,
 * which may allocate [M8]; and since it has one size on all processors.
 *
 *   LO1  no call here is made to a function of the C library;
 *   LO2  all zero is a free lock, wherever it lies. It is not shared between processes;
 *   LO3  it does not know which thread holds it: a thread that takes it twice waits for itself, and
 *        another thread may release it;
 *   LO4  a thread that wakes up takes the lock as WAITED_FOR, since others may still sleep: so the
 *        last one may wake no thread for nothing, but none is forgotten.
 */
#ifndef LOCK_H
#define LOCK_H

#include "base/base.h"

/* Helgrind knows the locks of the C library by their functions. It learns of this one by requests,
 * which do nothing without helgrind, if its header was there when the library was built. Else it
 * reports races that are none. */
#if defined(__has_include)
#if __has_include(<valgrind/helgrind.h>)
#define WITH_HELGRIND
#endif
#endif
#ifdef WITH_HELGRIND
extern bool lock_is_watched; /* by helgrind */
#else
enum { lock_is_watched = 0 };
#endif

struct lock {
    uint32_t state;
};

enum { LOCK_FREE, LOCK_TAKEN, LOCK_WAITED_FOR };

/* The slow ways of the calls below. */
void lock_wait(struct lock *l);
void lock_wake(struct lock *l);

/* Tell helgrind that the calling thread has just taken the lock, or that it releases it. */
void lock_tell_taken(struct lock *l);
void lock_tell_and_release(struct lock *l);

/* Takes the lock if it is free. Returns false, without the lock, if it is not. */
static inline bool lock_try(struct lock *l)
{
    uint32_t state = LOCK_FREE;
    if (!__atomic_compare_exchange_n(&l->state, &state, LOCK_TAKEN, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    if (lock_is_watched)
        lock_tell_taken(l);
    return true;
}

/* Takes the lock, as soon as no other thread holds it. */
static inline void lock_take(struct lock *l)
{
    if (!lock_try(l))
        lock_wait(l);
}

/* Returns whether any thread holds the lock. It may be otherwise already when the caller looks. */
static inline bool lock_is_taken(const struct lock *l)
{
    return __atomic_load_n(&l->state, __ATOMIC_RELAXED) != LOCK_FREE;
}

/* Releases the lock, which is taken. */
static inline void lock_release(struct lock *l)
{
    assert(lock_is_taken(l)); /* or a call has forgotten to take it */
    if (lock_is_watched)
        lock_tell_and_release(l);
    else if (__atomic_exchange_n(&l->state, LOCK_FREE, __ATOMIC_RELEASE) == LOCK_WAITED_FOR)
        lock_wake(l);
}

#endif

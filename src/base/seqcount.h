/* SPDX-License-Identifier: MIT
 *
 * seqcount.h - reads, without a lock, what the holder of a lock may be changing.
 *
 * A sequence count is odd while the lock holder makes a change (Lameter, "Effective
 * Synchronization on Linux/NUMA Systems", 2005):
 *
 *     lock holder   | change_begin   writes    change_end |
 *     count         |  4  ->  5                5  ->  6   |
 *     reader        | changes_seen   reads     is_unchanged |
 *
 *   SQ1  a reader believes what it read if the count was even before, and is the same
 *        afterwards. Anything else may be torn, old and new mixed, or nonsense: until then
 *        the reader may not follow it to memory that it has not checked itself.
 */
#ifndef SEQCOUNT_H
#define SEQCOUNT_H

#include "base/base.h"

/* Reads a variable that another thread may be changing: once, and not torn. */
#define NOW(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)

/* Makes the count odd before the first write of a change. The caller holds the lock that
 * guards what it is about to change, and has ended its last change. */
static inline void change_begin(uint32_t *changes)
{
    __atomic_store_n(changes, *changes + 1, __ATOMIC_RELAXED);
    if (!UNDER_TSAN)
        __atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Makes the count even after the last write of a change. */
static inline void change_end(uint32_t *changes)
{
    __atomic_store_n(changes, *changes + 1, __ATOMIC_RELEASE);
}

/* Returns the count before a reader reads. */
RACING static inline uint32_t changes_seen(const uint32_t *changes)
{
    return __atomic_load_n(changes, __ATOMIC_ACQUIRE);
}

/* Returns whether the reader may believe what it read since changes_seen returned `seen` [SQ1]. */
RACING static inline bool is_unchanged(const uint32_t *changes, uint32_t seen)
{
    if (!UNDER_TSAN)
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return seen % 2 == 0 && __atomic_load_n(changes, __ATOMIC_RELAXED) == seen;
}

#endif

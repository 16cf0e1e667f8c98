/* SPDX-License-Identifier: MIT
 *
 * grace.h - a grace period: readers take no lock, and a writer waits until each has left.
 *
 * A reader uses memory that a writer may take away. The writer first unpublishes the memory, then
 * waits for each reader's word, and only then reuses the memory:
 *
 *     reader   word = busy | is it still published? | reads, may write | word = idle
 *     writer   unpublishes | grace_barrier() | grace_wait(each word)   | reuses the memory
 *
 *   GR1  a reader stores `busy` before it looks for what is published. So either it sees that the
 *        memory is gone, or the writer sees that the reader is busy: never neither. Both sides
 *        would need a memory fence between their store and their load (Dekker's algorithm). Here
 *        the writer has the system run a fence on each processor that runs the process
 *        (membarrier), and the reader only keeps the compiler from swapping the two;
 *   GR2  a reader's store of `idle` is a release and the writer's load an acquire: all that the
 *        reader did happens before the memory is reused;
 *   GR3  a busy reader never waits for a lock that a writer may hold while it waits;
 *   GR4  a writer whose own thread is the only one that can be a reader needs neither barrier nor
 *        wait. So the system is first asked for the barrier when a second thread is about to
 *        become a reader. If that thread runs already, this takes some milliseconds, in which the
 *        system waits until each processor has seen the change; if libc is only about to start it,
 *        microseconds. grace_barrier asks once more if it has to, since libc does not know of
 *        threads that a program starts by a bare system call.
 *
 * So a reader pays two plain stores to a word of its own. The idea is read-copy-update (McKenney
 * and Slingwine, 1998); the fence that only one side pays for is from Dice, Huang and Yang,
 * "Asymmetric Dekker Synchronization", 2001.
 */
#ifndef GRACE_H
#define GRACE_H

#include "base/base.h"

/* --- the reader --------------------------------------------------------------------- */

/* The reader stores `busy` to its word. No other thread writes to the word meanwhile. */
static inline void grace_enter(uint32_t *word, uint32_t busy)
{
    assert(busy != 0);
    __atomic_store_n(word, busy, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the compiler must keep the order [GR1] */
}

/* The reader stores `idle` to its word when it no longer uses the memory [GR2]. */
static inline void grace_leave(uint32_t *word, uint32_t idle)
{
    __atomic_store_n(word, idle, __ATOMIC_RELEASE);
}

/* --- the writer --------------------------------------------------------------------- */

/* Asks the system for the barrier, and remembers the answer. Returns false if the system has none:
 * then there must be no readers but the writer's own thread. Any thread may call it [GR4]. */
bool grace_open(void);

/* Runs a memory fence on all processors that run the process, after the writer has unpublished the
 * memory. Returns false if the system refuses: then nothing is known of the readers, and the
 * memory must stay as it is. */
bool grace_barrier(void);

/* Returns whether the reader of this word has left: none of the bits of `busy` is set. */
static inline bool grace_has_left(const uint32_t *word, uint32_t busy)
{
    return (__atomic_load_n(word, __ATOMIC_ACQUIRE) & busy) == 0;
}

/* Lets other threads run until the reader of this word was seen to have left. A reader that enters
 * again meanwhile may be waited for once more, or not: it cannot see the memory any longer. */
void grace_wait(const uint32_t *word, uint32_t busy);

#endif

/* SPDX-License-Identifier: MIT
 *
 * memory.h - memory as C11 promises it, for the explorer: what a thread may read, and what is a
 * race.
 *
 * The memory itself has the newest value of each place. Of each store in a schedule this remembers
 * what was there before, and what the storing thread knew. So a load may also return what was there
 * before stores that its thread need not know of.
 *
 *     thread 0    data = 1;                  flag = 1 (release)
 *     thread 1    flag is 1 (acquire): thread 1 knows what thread 0 knew, and data must be 1
 *                 flag is 1 (relaxed): data may be 0, or if it is no atomic load, that is a race
 *
 *   ME1  a thread knows its own stores, what it has read, and what the thread knew from whose
 *        release store (or store behind a release fence) it has read with acquire (or before an
 *        acquire fence). What is known to it, or was overwritten by what is known, it cannot read
 *        in an older form. An atomic exchange reads the newest value, and passes on what the store
 *        before it passes on;
 *   ME2  fences of sequential consistency have an order: each one knows what those before it knew.
 *        So have the operations of sequential consistency on one place. A barrier of the system is
 *        such a fence in all threads;
 *   ME3  a plain load of what is not known, and a plain store over what is not known or over what
 *        another thread has read in a way that is not known, is a race. A plain store counts as
 *        relaxed for the atomic loads of others: in C it would be a race, too, but the writer of
 *        base/seqcount.h stores like this.
 *
 * It is the view machine of Kang, Hur, Lahav, Vafeiadis and Dreyer, "A Promising Semantics for
 * Relaxed-Memory Concurrency", 2017, without promises: a load never returns what is stored later,
 * and stores to one place take effect in the order in which they are made.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many values a load can be given. */
enum { NVALUES_MAX = 4 };

/* Before all else. */
void memory_open(void);

/* Forgets all stores: from now on each thread knows what is in the memory. */
void memory_begin(void);

/* Returns how many values the thread may read from nbytes (1, 2, 4 or 8, aligned) at `place`, and
 * stores them, the newest first. */
unsigned memory_values(int thread, const volatile void *place, unsigned nbytes, int order,
                       uint64_t *value);

/* The thread has read the value of that number from there. */
void memory_read(int thread, const volatile void *place, unsigned nbytes, int order,
                 unsigned number);

/* The thread is given the value of that number, and from now on all that the storing thread stored
 * since then comes late to it, too: as if that were still in a store buffer. That ends when the
 * thread must know of it [ME1], or has waited. */
void memory_delay(int thread, const volatile void *place, unsigned nbytes, int order,
                  unsigned number);
void memory_end_delay(int thread);

/* The thread is about to store nbytes there. An exchange calls memory_exchange instead. */
void memory_store(int thread, const volatile void *place, size_t nbytes, int order);

/* The thread reads the newest value and, if `stores`, is about to store another one, at once. */
void memory_exchange(int thread, const volatile void *place, unsigned nbytes, int order,
                     bool stores);

void memory_fence(int thread, int order);

/* The thread has the system run a barrier on all processors. */
void memory_barrier(int thread, int nthreads);

/* From now on the thread knows what another one, which has ended, knew. */
void memory_join(int thread, int ended);

/* Plain accesses of any length. Return false if it is a race [ME3], and may not be one.
 * memory_plain_store comes before the store itself. */
bool memory_plain_load(int thread, const volatile void *place, size_t nbytes, bool may_race);
bool memory_plain_store(int thread, const volatile void *place, size_t nbytes, bool may_race);

#endif

/* SPDX-License-Identifier: MIT
 *
 * foreign.h - heaps that have calls of their own and are only looked at through mem_heap.h:
 * malloc's, which is in libmem-malloc.so, and Mem_Init's.
 *
 *     mem_heap *  ->  a handle, and nothing in it  ->  struct heap
 *
 *   FO1  a handle is an address and no header: it is all 0. A call that does not ask foreign_heap
 *        finds no heap there, and so changes nothing (MEM_FOREIGN). Each call that knows foreign
 *        heaps asks first, and then is one of the four below;
 *   FO2  a visitor runs without the lock, since it may call malloc. So a walk goes in stretches:
 *        some pieces are noted under the lock, then shown, and then what begins behind them is
 *        noted. What lives all the time has not moved, and is noted once, whatever changes around
 *        it;
 *   FO3  threads take and free slots without the lock: a state is read once, and is the truth of
 *        that moment. A slot that a thread has set aside, and not given out, is free.
 */
#ifndef FOREIGN_H
#define FOREIGN_H

#include "mem_heap.h"
#include "core/heap.h"
#include "core/lookup.h"

enum foreign { FOREIGN_MALLOC, FOREIGN_CLASSIC, NFOREIGN };

/* Makes an open heap, which stays for ever, known to mem_find, if there is memory in the registry,
 * and to the calls below. */
void foreign_add(enum foreign which, struct heap *h);

/* Returns the heap that `m` is the handle of, or NULL if it is no handle, or that heap is not
 * there. Any thread may call it. */
struct heap *foreign_heap(const mem_heap *m);

/* What mem_find_in, mem_walk, mem_stats and mem_check do for a foreign heap `h` with the handle
 * `m`. They return the result of the call, and do not note it for mem_last_error. They may wait for
 * the heap's lock. */
enum mem_result foreign_find(struct heap *h, mem_heap *m, const void *address,
                             struct mem_piece *found);
enum mem_result foreign_walk(struct heap *h, mem_heap *m, mem_visitor visit, void *context);
enum mem_result foreign_stats(struct heap *h, struct mem_statistics *stats);
enum mem_result foreign_check(struct heap *h, const char **wrong);

#endif

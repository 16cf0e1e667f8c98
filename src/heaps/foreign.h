/* SPDX-License-Identifier: MIT
 *
 * guest.h - heaps that have calls of their own and are only looked at from here: malloc's,
 * which is in libmem-malloc.so, and Mem_Init's.
 *
 *     mem_heap *  ->  a handle, and nothing in it  ->  struct heap
 *
 *   FO1  a handle is an address and no header: whoever does not ask for foreign_heaps finds no heap
 *       there, and so changes nothing (MEM_FOREIGN);
 *   FO2  a visitor runs without the lock, since it may call malloc. So a walk goes in stretches:
 *       some pieces are noted under the lock, then shown, then what begins behind them is noted.
 *       What lives all the time has not moved, and is noted once, whatever changes around it;
 *   FO3  threads take and free slots without the lock: a state is read once, and is the truth of
 *       that moment. A slot that a thread has set aside, and not given out, is free.
 */
#ifndef GUEST_H
#define GUEST_H

#include "heaps/header.h"
#include "core/heap.h"
#include "heaps/lookup.h"

enum foreign { FOREIGN_MALLOC, FOREIGN_CLASSIC, NFOREIGN };

/* Its handle; NULL: there is no such heap (so far), or none that this library understands. */
mem_heap *foreign_handle(enum foreign which);
bool foreign_is_of_another_version(void); /* malloc's */

/* There is such a heap, open, and it stays. mem_find knows it, too, if there is memory. */
void foreign_add(enum foreign which, struct heap *h);

/* What the handle is of; NULL: it is none. Any thread. */
struct heap *foreign_heap(const mem_heap *m);

/* What an address is there; never CHANGING. May wait for the lock. */
enum heap_result foreign_find(struct heap *h, const void *address, struct lookup_result *p);

/* MEM_OK, MEM_DAMAGED. `m` is what the visitor is told of the heap. */
enum mem_result foreign_walk(struct heap *h, mem_heap *m, mem_visitor visit, void *context);

#endif

/* SPDX-License-Identifier: MIT
 *
 * check.h - looks at a whole heap, and believes no counter.
 */
#ifndef CHECK_H
#define CHECK_H

#include "heap.h"

/* Recounts every invariant of the heap: a ledger that is not valid is our own
 * mistake, and panics. HEAP_DAMAGED if a node of the free list had been written
 * to since it was last looked at; all nodes are right afterwards. O(n log n),
 * and other threads wait. */
enum heap_result check_heap(struct heap *h);

#endif

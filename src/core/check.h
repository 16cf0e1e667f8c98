/* SPDX-License-Identifier: MIT
 *
 * check.h - looks at a whole heap, and believes no counter.
 */
#ifndef CHECK_H
#define CHECK_H

#include "core/heap.h"

/* Recounts every invariant of the heap. HEAP_OK; HEAP_LIST_DAMAGED if a node of the
 * free list had been written to since it was last looked at, and now all are
 * right; HEAP_DAMAGED if the ledger contradicts itself, and nothing was changed;
 * HEAP_NO_REGION. O(n log n), and other threads wait. */
enum heap_result check_heap(struct heap *h);
enum heap_result check_heap_locked(const struct heap *h);

/* What makes it HEAP_DAMAGED, in words; NULL: nothing. */
const char *check_fault_locked(const struct heap *h);

#endif

/* SPDX-License-Identifier: MIT
 *
 * parts.h - a heap that is larger than a region can be: it has a struct heap for each 64 GiB.
 *
 *     m                          m + 64 GiB                    m + 128 GiB
 *      | header, region of part 0 | struct heap, region of part 1 | struct heap, region ...
 *
 * A smaller heap is part 0 alone. Parts are opened in order, when the ones before are full, so that
 * a part that was never needed costs no page [HD6]; an object lies in one part [HD7].
 */
#ifndef PARTS_H
#define PARTS_H

#include "heaps/header.h"

enum { PART_HEAD = (sizeof(struct heap) + HEAP_ALIGN - 1) / HEAP_ALIGN * HEAP_ALIGN };

RACING static inline size_t parts_count(const mem_heap *m)
{
    return ceil_div(m->nbytes, PART_BYTES);
}

/* Returns which part an address in the heap is in. */
RACING static inline size_t parts_index(const mem_heap *m, const void *address)
{
    return ((uintptr_t)address - (uintptr_t)m) / PART_BYTES;
}

/* Makes the struct heap of a new part, all free, as every part begins. Nothing is written to the
 * part, so *h may be anywhere. */
void parts_make(const mem_heap *m, size_t part, struct heap *h);

/* Returns the struct heap of a part, in a heap with spans. That of a part which is not open is made
 * in *view, all free, to be read only. That of an open part stays where it is. The caller needs no
 * lock. */
struct heap *parts_heap(const mem_heap *m, size_t part, struct heap *view);

/* Opens the first part that is not open, and returns its struct heap; or NULL, if the system opens
 * no memory for it. There is such a part. The caller holds the lock. */
struct heap *parts_open(mem_heap *m);

/* Returns whether it is known how many parts are open, and a struct heap says of its region and of
 * its ledger what the header says: a reader without the lock goes by it only then. */
bool parts_is_in_place(const mem_heap *m, size_t part, const struct heap *h);

/* Returns how many bytes of the heap's memory are resident. */
size_t parts_resident_bytes(const mem_heap *m);

#endif

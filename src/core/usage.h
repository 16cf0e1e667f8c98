/* SPDX-License-Identifier: MIT
 *
 * usage.h - how much of a heap is open, used and free, from numbers that the heap keeps anyway: no
 * object is visited.
 *
 *     base                              top                                        base + nbytes
 *      [object][hole][span of slots]...[object][free ... open]|.. gap ..|[ open ][ records ]
 *
 *   US1  live_bytes and free_bytes are those of pieces.h: whole slots and chunks. The records, the
 *        page map, and spans of the library's own are in neither. Free memory that is not open yet
 *        is not counted;
 *   US2  while other threads use the heap, slots are counted as they are found, and SP7 says how
 *        exact that is. With one thread all numbers are exact.
 */
#ifndef USAGE_H
#define USAGE_H

#include "core/heap.h"

struct usage {
    size_t reserved_bytes;
    size_t open_bytes; /* of that, what can be read and written */
    size_t live_bytes; /* in objects, with their slack */
    size_t free_bytes; /* in chunks and in slots */
    size_t nfree_chunks, free_chunk_bytes;
    size_t trimmable_bytes; /* at most so much of what is free would go back to the system */
    struct slot_tally slots;
};

/* Returns the usage of a heap; all 0 if it was not opened. The lock is held for a microsecond or
 * two at a time. O(1) for chunks, and as spans_tally says for slots. */
struct usage heap_usage(struct heap *h);

#endif

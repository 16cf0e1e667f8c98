/* SPDX-License-Identifier: MIT
 *
 * freelist.h - the list that the classic heap threads through its free chunks [C12].
 *
 *     m_free_list --> [size|type|next --]--> [size|type|next --]--> NULL
 *                      hole, lowest address   ...   the tail
 *
 *   FL1  each free chunk begins with a node: its size, true, the next free chunk;
 *   FL2  but `type` is false where a node was found to be something else, until
 *       somebody has been told.
 *
 * The ledger says what each node has to be, and nothing is ever decided by one.
 * A node that differs was written to through a stale pointer or an overrun. The
 * allocation that would use the chunk says so, and so does a check of the heap.
 * Other calls that come across it put it right, to keep the list whole, and
 * leave the mark of FL2, so that it is still found.
 */
#ifndef FREELIST_H
#define FREELIST_H

#include "mem.h"
#include "ledger/ledger.h"
#include "base/region.h"

struct freelist {
    const struct region *region;
    const struct ledger *ledger;
    MemNodePtr *head; /* NULL: a heap without a free list */
};

/* A place where the ledger is about to change. */
struct freelist_spot {
    uint32_t granule;
    struct around around;
    bool had_tail;
    bool before_right, here_right, tail_right; /* the nodes, as they were found */
};

/* Before the chunk at `granule`, which ends at `end`, is taken or given back:
 * looks at the nodes that this will rewrite. O(log n). */
void freelist_look(const struct freelist *f, uint32_t granule, uint32_t end,
                   struct freelist_spot *spot);

/* After `length` granules of the free chunk there, whose node was right, have
 * been taken: FL1 and FL2 again. O(1), but O(log n) if the tail comes or goes. */
void freelist_taken(const struct freelist *f, const struct freelist_spot *spot, uint32_t length);

/* After the chunk that ends at `end` has been given back: the same. */
void freelist_given(const struct freelist *f, const struct freelist_spot *spot, uint32_t end);

/* Puts the node of the free chunk at the spot right. */
void freelist_mend(const struct freelist *f, const struct freelist_spot *spot);

/* Puts all nodes right: how many were wrong. O(n log n). */
size_t freelist_mend_all(const struct freelist *f);

#endif

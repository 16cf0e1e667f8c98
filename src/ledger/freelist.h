/* SPDX-License-Identifier: MIT
 *
 * freelist.h - the list that the classic heap threads through its free chunks [C12].
 *
 *     m_free_list --> [size|type|next --]--> [size|type|next --]--> NULL
 *                      hole, lowest address   ...   the tail
 *
 *   FL1  each free chunk begins with a node: its size in bytes, true, the next free chunk;
 *   FL2  except that `type` is false where a node was found to be something else, until a
 *        call has reported it.
 *
 * The ledger says what each node has to be, and nothing is ever decided by a node.
 * A node that differs was written to through a stale pointer or an overrun. The
 * allocation that would use its chunk reports that, and so does a check of the heap.
 * Other calls that come across the node put it right, to keep the list whole, and
 * leave the mark of FL2, so that the damage is still found.
 *
 * A heap without a list has head == NULL; then none of these functions is called. The caller
 * holds the heap's lock.
 */
#ifndef FREELIST_H
#define FREELIST_H

#include "mem.h"
#include "base/region.h"
#include "ledger/ledger.h"

struct freelist {
    const struct region *region;
    const struct ledger *ledger;
    MemNodePtr *head; /* where the list begins; NULL: a heap without a free list */
};

/* A place where the ledger is about to change, and whether the nodes that this rewrites were
 * right when they were found. No node at all counts as right. What struct around calls `here` is
 * the free chunk to be taken from, or the next one above the chunk that is given back. */
struct freelist_spot {
    uint32_t granule;
    struct around around;
    bool had_tail;
    bool before_right, here_right, tail_right;
};

/* Looks at the nodes that will be rewritten when the chunk from `granule` to `end` is given back,
 * or when one is taken at `granule` (then end == granule). Called before the ledger changes.
 * O(log n). */
void freelist_look(const struct freelist *f, uint32_t granule, uint32_t end,
                   struct freelist_spot *spot);

/* Makes FL1 and FL2 true again after `length` granules of the free chunk at the spot, whose node
 * was right, have been taken. O(1), but O(log n) if the tail comes or goes. */
void freelist_taken(const struct freelist *f, const struct freelist_spot *spot, uint32_t length);

/* Makes FL1 and FL2 true again after the chunk from the spot to `end` has been given back. O(1),
 * but O(log n) if the tail comes or goes. */
void freelist_given(const struct freelist *f, const struct freelist_spot *spot, uint32_t end);

/* Puts the node of the free chunk at the spot right, and removes its mark. */
void freelist_mend(const struct freelist *f, const struct freelist_spot *spot);

/* Puts all nodes and the head right, and returns how many were wrong. O(n log n). */
size_t freelist_mend_all(const struct freelist *f);

#endif

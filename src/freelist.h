/* SPDX-License-Identifier: MIT
 *
 * freelist.h - the list that the classic heap threads through its free chunks [C12].
 *
 *     m_free_list --> [size|type|next --]--> [size|type|next --]--> NULL
 *                      hole, lowest address   ...   the tail
 *
 *   F1  each free chunk begins with a node: its size, true, the next free chunk.
 *
 * The ledger says what each node has to be. A node that is something else was
 * written to by somebody, and is put right; nothing is ever decided by it.
 */
#ifndef FREELIST_H
#define FREELIST_H

#include "../include/mem.h"
#include "ledger.h"
#include "region.h"

struct freelist {
    const struct region *region;
    const struct ledger *ledger;
    MemNodePtr *head; /* NULL: a heap without a free list */
};

/* Makes F1 true of the nodes around `granule`: of the free chunk that begins
 * there or next above, of the one before, and of the tail. Returns whether it
 * was true already: false before a change of the ledger means damage; after
 * one it means nothing. O(log n). */
bool freelist_settle(const struct freelist *f, uint32_t granule);

/* The same for all nodes: how many were wrong. O(n log n). */
size_t freelist_settle_all(const struct freelist *f);

#endif

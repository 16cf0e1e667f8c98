/* SPDX-License-Identifier: MIT
 *
 * chunk.h - takes chunks of a region and gives them back: the ledger says what is
 * where, and the free list, if there is one, is kept in step with it.
 *
 *   CK1  a node of the free list that a call is about to rewrite is looked at before; the
 *       call that would use its chunk does not, if the node is not what it has to be.
 *
 * Positions and lengths are in granules. Who calls has the lock.
 */
#ifndef CHUNK_H
#define CHUNK_H

#include "ledger/freelist.h"
#include "ledger/ledger.h"
#include "base/region.h"

struct chunks {
    struct region region;
    struct ledger ledger;
    struct freelist list;
};

enum chunks_result {
    CHUNKS_OK,
    CHUNKS_NONE,         /* no free chunk is large enough */
    CHUNKS_LIST_DAMAGED, /* the one to be used had been written to; now it is mended */
    CHUNKS_DAMAGED       /* the ledger contradicts itself */
};

/* All free. `head` is where the free list begins; NULL: there is none. */
void chunks_open(struct chunks *c, struct region region, MemNodePtr *head);

/* A live chunk of `length` granules, with `slack` bytes at the end that nobody asked
 * for. O(log n). */
enum chunks_result chunks_take(struct chunks *c, uint32_t length, uint32_t slack, enum fit fit,
                               uint32_t *start);

/* The same by best fit, at an address that is a multiple of `align` granules, a power of
 * two. A chunk that has been written to is as good as none, and stays so. */
enum chunks_result chunks_take_aligned(struct chunks *c, uint32_t length, uint32_t align,
                                       uint32_t slack, uint32_t *start);

/* NONE also: what was chosen is free, but the fence is in the way (ledger_check_guard). */

/* Makes the live chunk at `p` free, as ledger_give_back does, and keeps the free list in step.
 * O(log n). */
static inline void chunks_give_back(struct chunks *c, const struct ledger_place *p)
{
    struct freelist_spot spot;
    uint32_t start = p->chunk.start, end = start + p->chunk.length;
    if (c->list.head != NULL)
        freelist_look(&c->list, start, end, &spot);
    ledger_give_back(&c->ledger, p);
    if (c->list.head != NULL)
        freelist_given(&c->list, &spot, end);
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * chunks.h - takes chunks of a region and gives them back: the ledger says what is
 * where, and the free list, if there is one, is kept in step with it.
 *
 *   CK1  a node of the free list that a call is about to rewrite is compared with the ledger
 *        before. If the node of the chunk to be used is wrong, the call does not use it.
 *
 *   CK2  where memory is reserved and not open yet [LG7], all that a call needs is opened before
 *        anything changes. If the system refuses that, the call is CHUNKS_NONE:
 *
 *            [ objects ][  open  ]|.......... gap ..........|[ open ][ records ]
 *                                low ->                  <- high
 *
 *        A program that lowers the limit on its address space gets the middle of the gap back. Then
 *        the ends of the gap can come as far as that hole, and no call touches what lies there:
 *
 *            ... open ][ gap ]   what is the program's   [ gap ][ open ...
 *                      low -> |low_most         high_least| <- high
 *
 *   CK3  FIT_ANY, where it is known what is clean, takes the hole that fits best, unless one of the
 *        next longer holes has more dirty memory to hand out: that has pages already.
 *
 * Positions and lengths are in granules. The caller holds the heap's lock.
 */
#ifndef CHUNKS_H
#define CHUNKS_H

#include "base/region.h"
#include "ledger/clean.h"
#include "ledger/freelist.h"
#include "ledger/ledger.h"

struct chunks {
    struct region region;
    struct ledger ledger;
    struct freelist list;
    struct clean *clean; /* what is known to be zero; NULL: nothing is, as in a heap with a list */
    struct unwritten {   /* pages of a table that can only be read so far; none if from == to */
        uint32_t from, to;
    } unwritten;
    uint32_t low_most, high_least; /* the hole in the gap; both 0: it has none */
};

enum chunks_result {
    CHUNKS_OK,
    CHUNKS_NONE,         /* no free chunk is large enough, or the guard is in the way [LG6],
                          * or the system opens no memory for it [CK2] */
    CHUNKS_LIST_DAMAGED, /* the node of the chunk to be used was overwritten; now it is mended */
    CHUNKS_DAMAGED       /* the ledger contradicts itself */
};

/* Makes all of the region free. `head` is where the free list begins, or NULL for a heap without
 * one. The caller has set c->clean. */
void chunks_open(struct chunks *c, struct region region, MemNodePtr *head);

/* Takes a live chunk of `length` > 0 granules, with `slack` bytes at the end that the caller
 * does not need, and stores where it begins. Unless it returns CHUNKS_OK, it has changed no chunk.
 * O(log n). */
enum chunks_result chunks_take(struct chunks *c, uint32_t length, uint32_t slack, enum fit fit,
                               uint32_t *start);

/* Takes a chunk by best fit, at an address that is a multiple of `align` granules, a power of two.
 * A free chunk whose node was overwritten counts as none, and stays as it is. O(log n), but O(n)
 * before it gives up. */
enum chunks_result chunks_take_aligned(struct chunks *c, uint32_t length, uint32_t align,
                                       uint32_t slack, uint32_t *start);

/* Returns whether the ledger leaves room for the chunk that chunks_take_aligned would take, in as
 * much time. Changes nothing. */
bool chunks_have_room(const struct chunks *c, uint32_t length, uint32_t align);

/* Takes a chunk as chunks_take_aligned does, with slack LEDGER_RESERVED, for a table that is mostly
 * zero; a heap has one. Where memory was not open before, `written` granules from the chunk's begin
 * on can be written to afterwards, and c->unwritten is what can only be read. */
enum chunks_result chunks_take_table(struct chunks *c, uint32_t length, uint32_t align,
                                     uint32_t written, uint32_t *start);

/* Gives address space of the gap back to the system, from its middle, so that `keep` bytes of it
 * are left at most. They cannot be had again. */
void chunks_cut_gap(struct chunks *c, size_t keep);

/* Makes it possible to write to the table up to the granule `end` at least, and c->unwritten
 * shorter. Returns false, and changes nothing, if the system refuses. */
bool chunks_write_table(struct chunks *c, uint32_t end);

/* Returns whether a part of the table can only be read. While that is so, it must not be given
 * back. */
static inline bool chunks_have_unwritten(const struct chunks *c)
{
    return c->unwritten.from < c->unwritten.to;
}

/* Resizes the live chunk `old`, as ledger_resize does, in a heap without a free list. */
bool chunks_resize(struct chunks *c, const struct chunk *old, uint32_t length, uint32_t slack);

/* Returns whether a byte of the region lies in the hole: so it is the program's. Takes no lock. */
RACING static inline bool chunks_gave_up(const struct chunks *c, size_t offset)
{
    size_t granule = offset / GRANULE_BYTES;
    return granule >= NOW(c->low_most) && granule < NOW(c->high_least);
}

/* Returns the clean part of what the last call that returned CHUNKS_OK handed out (clean.h); an
 * empty interval, if nothing is known of it. */
static inline struct interval chunks_clean_part(const struct chunks *c)
{
    return c->clean == NULL ? (struct interval){0} : c->clean->taken;
}

/* The caller is about to give all free pages back: none of those that went before are forgotten. */
static inline void chunks_begin_to_give(struct chunks *c)
{
    c->ledger.nforgotten = 0;
}

/* What the list of clean memory has forgotten is still free, and not dirty. */
static inline void chunks_count_forgotten(struct chunks *c)
{
    c->ledger.nforgotten += c->clean->nforgotten;
    c->clean->nforgotten = 0;
}

/* Notes that the whole pages of [start, end), which is free, went back to the system. What lies
 * where records were is left out [CL1]; a region of 64 GiB ends beyond the last number. */
static inline void chunks_given_back(struct chunks *c, size_t start, size_t end)
{
    size_t clean_end = ledger_clean_end(&c->ledger);
    end = smaller_of(end, clean_end);
    if (c->clean != NULL && start < end) {
        clean_add(c->clean, (uint32_t)start, (uint32_t)end);
        chunks_count_forgotten(c);
    }
    if (c->clean == NULL && start < smaller_of(end, c->ledger.used))
        c->ledger.nforgotten += (uint32_t)(smaller_of(end, c->ledger.used) - start);
}

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

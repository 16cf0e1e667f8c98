/* SPDX-License-Identifier: MIT
 *
 * ledger.h - what every granule of a region is, and where free space is.
 *
 *     0                              top                       region end
 *     [live][live][free][live]...[live][------- tail -------][ ledger ]
 *
 * The region up to `top` is cut into chunks: each is one live object or one
 * piece of free space (a hole). What follows is the tail: free space too, which
 * needs no record, since it reaches from the last chunk to the ledger.
 *
 *   LG1  chunks tile [0, top): no gap, no overlap;
 *   LG2  no two free chunks are neighbours, and the last chunk is live;
 *   LG3  the records have room at the region's end, whatever they are to become:
 *       top * GRANULE_BYTES + nchunks * BTREE_COST <= nbytes (btree.h, BT4);
 *   LG4  top <= high: what was an object's once pays the lower price if it is one
 *       again, so that a free never shortens what can be had.
 *
 * An object that is taken from above `high` pays CHUNK_COST bytes at the region's
 * end for its record. That is a quarter more than LG3 asks for, so that a heap that
 * was filled once can still cut its holes: by the fifty-percent rule (Knuth, vol.
 * 1, 2.5) a steady heap has half as many holes as objects. Where even that is
 * used up a hole is taken whole. Freeing never needs a new record, and cannot
 * fail. How full the trees happen to be changes nothing: placement depends on
 * the chunks alone, and a naive model can predict it (test/model.c).
 *
 *   LG5  whatever somebody has written over the records: nothing outside the region is read
 *       or written, every call returns, and what is handed out is free by address, lies in
 *       the region, and above no record. (That it is whole only ledger_fault says.)
 *
 *   LG6  between chunks and records there may be a fence: memory that nobody may touch, moved
 *       only from outside (fence.h). No chunk reaches above its low end, no record below its
 *       high end. Then records have whole pages, and LG3 charges for these and for one page
 *       more, the fence at its least.
 *
 * All positions and lengths are in granules. Not thread-safe.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "base/seqcount.h"
#include "ledger/btree.h"

enum { CHUNK_COST = 24 };

/* In granules; `page` is 0 if there is none. */
struct guard {
    uint32_t page, low, high;
    uint32_t wanted_low; /* where its low end has to be, for what was refused last; or 0 */
};

struct ledger {
    struct btree b;
    size_t nbytes; /* of the region */
    uint32_t high; /* the highest top since the region was all free, */
    uint32_t used; /* and ever: nothing above was ever given out */
    uint32_t most; /* chunks that there ever were: so far down records may have been written */
    uint32_t nlive;
    uint32_t ndirty;      /* free, but not since the layer above last set this to 0: an estimate */
    uint32_t least_dirty; /* the least that was before more was freed, likewise */
    uint32_t changes;     /* odd while there is one */
    struct guard guard;
};

/* `state` 0 is free; else live, with state - 1 bytes at the end that nobody asked
 * for; CHUNK_RESERVED: what it holds is another layer's affair. A slack of
 * LEDGER_RESERVED makes it that. */
#define CHUNK_RESERVED  UINT32_MAX
#define LEDGER_RESERVED (CHUNK_RESERVED - 1)

struct chunk {
    uint32_t start, length, state;
};

/* FIT_ANY is best fit here; layers above may have something faster. */
enum fit { FIT_BEST, FIT_WORST, FIT_FIRST, FIT_ANY };

/* A ledger for a region of nbytes that ends at `end`, all free. Both are multiples
 * of GRANULE_BYTES; nbytes is at most 64 GiB. */
void ledger_open(struct ledger *l, void *end, size_t nbytes);

/* The same with a fence [LG6]: nbytes are whole pages, three or more, of `page` granules. */
void ledger_open_guarded(struct ledger *l, void *end, size_t nbytes, uint32_t page);

/* Where the fence is from now on: low < high, around nothing. */
void ledger_set_guard(struct ledger *l, uint32_t low, uint32_t high);

/* Which free chunk an object of `length` > 0 granules should come from: the
 * smallest, the largest or the first that is large enough; the lowest one among
 * equals. False if none is; or if LG3 forces it to take a hole whole that is 4 GiB
 * larger, since slack is counted with 32 bits. O(log n). */
bool ledger_choose(const struct ledger *l, uint32_t length, enum fit fit, struct chunk *chosen);

/* The same for an object that is to begin at a multiple of `align` granules, counted
 * from `phase` granules before the region: `*skip` is how far into the chunk that
 * is. Best fit, though not the tightest where alignment leaves a choice. O(log n),
 * but O(n) before it gives up. */
bool ledger_choose_aligned(const struct ledger *l, uint32_t length, uint32_t align, uint32_t phase,
                           struct chunk *chosen, uint32_t *skip);

/* Is the fence where that chunk can be taken? False: it is in the way, and has to move to
 * where `fence.wanted` says now. (A resize in place is refused in the same way.) O(1). */
bool ledger_check_guard(struct ledger *l, const struct chunk *from, uint32_t skip, uint32_t length);

/* Makes [start + skip, + length) of a free chunk as ledger_choose_aligned gave it a
 * live chunk, and leaves what is before and behind it free. False: as above. O(log n). */
bool ledger_take_aligned(struct ledger *l, const struct chunk *from, uint32_t skip, uint32_t length,
                         uint32_t slack);

/* Makes the live chunk that begins at `start` `length` granules long, with `slack`
 * unused bytes: what it gives up is free, what it needs comes from the free chunk
 * behind it. False, and nothing has changed, if that is not long enough. O(log n). */
bool ledger_resize(struct ledger *l, uint32_t start, uint32_t length, uint32_t slack);

/* Makes the low end of a free chunk, as ledger_choose gave it, a live chunk of
 * `length` granules with `slack` unused bytes at the end. Returns its length: more,
 * if there was no room for a record of the rest; 0, if there is no such free chunk:
 * the ledger is damaged. O(log n). */
uint32_t ledger_take(struct ledger *l, const struct chunk *from, uint32_t length, uint32_t slack);

/* A chunk that was found, and the place of its record: good until the ledger's next change. */
struct ledger_place {
    struct chunk chunk;
    struct cursor cursor; /* unless it is the tail, which has no record */
    uint32_t changes;     /* l->changes when it was found */
};

/* Finds the chunk that a granule lies in, or the tail. Returns false if it lies in none.
 * O(log n). */
bool ledger_find(const struct ledger *l, uint32_t granule, struct chunk *found);
bool ledger_find_place(const struct ledger *l, uint32_t granule, struct ledger_place *p);

/* Makes the live chunk at `p`, which nothing has changed since it was found, one free chunk
 * with its free neighbours. Cannot fail for want of memory. O(log n). */
void ledger_give_back(struct ledger *l, const struct ledger_place *p);

/* The same for who has no lock, and looks at `changes` before and after: never reads
 * outside the region, nor for ever, whatever is there. A length of 0: it lies in none.
 * False: what is there makes no sense. */
bool ledger_lookup(const struct ledger *l, uint32_t granule, struct chunk *found);

/* The free chunks around a place, in address order; a length of 0: there is none.
 *
 *     [before] ... | granule ... [here] ... [after]
 *
 * `here` begins at `granule` or next above it. Each may be the tail. O(log n). */
struct around {
    struct chunk before, here, after;
};
void ledger_around(const struct ledger *l, uint32_t granule, struct around *a);

/* Makes `hole` the next shorter hole than it, or of the same length the next lower
 * one; false if there is none. From {.length = UINT32_MAX} on that is all of them.
 * O(log n). */
bool ledger_next_shorter(const struct ledger *l, struct chunk *hole);

/* The free space behind the last chunk; its length may be 0. */
struct chunk ledger_tail(const struct ledger *l);

/* Bytes that the records take at the end of the region now. */
size_t ledger_nbytes(const struct ledger *l);

/* Has nobody ever written to [start, start + length), neither who was given it nor the
 * ledger? (A free list may have, to the first granule.) */
bool ledger_is_fresh(const struct ledger *l, uint32_t start, uint32_t length);

/* Can these numbers be? LG5 holds if they can. O(1). */
bool ledger_is_sane(const struct ledger *l);

/* Recounts LG1 to LG3 and all below: NULL, or what is wrong, in words. O(n log n). */
const char *ledger_fault(const struct ledger *l);
bool ledger_is_valid(const struct ledger *l);

#endif

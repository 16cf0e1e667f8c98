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
 *        top * GRANULE_BYTES + nchunks * BTREE_COST <= nbytes (btree.h, BT4);
 *   LG4  top <= high. Space below `high` has held objects before and is charged only
 *        BTREE_COST when it is used again, so that freeing an object never lowers the
 *        largest size that can be allocated.
 *
 * An object that is taken from above `high` pays CHUNK_COST bytes at the region's
 * end for its record. That is a quarter more than LG3 asks for, so that a heap that
 * was filled once can still cut its holes: by the fifty-percent rule (Knuth, vol.
 * 1, 2.5) a steady heap has half as many holes as objects. Where even that is
 * used up, a hole is taken whole. A free may add one record, of a hole in the order
 * by size; its room was charged when the chunk was taken (BT4, LG2), so a free cannot
 * fail. How full the trees happen to be changes nothing: placement depends on
 * the chunks alone, and a naive model can predict it (test/support/model.c).
 *
 *   LG5  whatever has been written over the records, every call returns, and reads and writes
 *        nothing outside the region. What is handed out then is free by the order by address,
 *        lies in the region, and reaches into no record. Whether the records are whole, only
 *        ledger_fault says;
 *   LG6  between chunks and records there may be a guard: pages that cannot be touched, which
 *        only heaps/guard.c moves. No chunk reaches above its low end, and no record below its
 *        high end. Then records have whole pages, and LG3 charges for these and for one page
 *        more, which is the guard at its smallest;
 *   LG7  or there is a gap: memory that is reserved and cannot be touched yet. It has a low and a
 *        high end as a guard has, its `page` is 0, and LG3 charges nothing for it. It only ever
 *        becomes smaller: chunks.c opens memory at either end before a change needs it.
 *
 * All positions and lengths are in granules. The caller holds the lock that guards the ledger,
 * except for ledger_lookup.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "base/seqcount.h"
#include "ledger/btree.h"

enum { CHUNK_COST = 24 };

/* The guard [LG6] or the gap [LG7]: from the granule `low` to `high`, which is 0 if there is
 * neither. `page` is how many granules a page has; 0 says that this is no guard. */
struct guard {
    uint32_t page, low, high;
    uint32_t wanted_low; /* where its low end has to be for what was refused last; or 0 */
};

struct ledger {
    struct btree b;
    size_t nbytes; /* of the region */
    uint32_t high; /* the highest top since the region was all free last [LG4] */
    uint32_t used; /* the highest top ever: nothing above was ever given out */
    uint32_t most; /* the most chunks there ever were: how far down records may have been written */
    uint32_t live_granules; /* of all live chunks */
    uint32_t ndirty;        /* an estimate of what was freed since the heap last set this to 0 */
    uint32_t least_dirty;   /* the least that was before something more was freed, likewise */
    uint32_t nforgotten; /* an estimate of what has gone back to the system, is still free, and is
                               in no list of clean memory (clean.h) */
    uint32_t changes;    /* a sequence count (seqcount.h) */
    struct guard guard;
};

/* `state` is 0 for a free chunk. For a live one it is 1 + slack, the bytes at its end that the
 * caller did not ask for; or CHUNK_RESERVED, if another layer says what the chunk holds (the
 * slices of spans). Taking a chunk with a slack of LEDGER_RESERVED makes it that. */
#define CHUNK_RESERVED  UINT32_MAX
#define LEDGER_RESERVED (CHUNK_RESERVED - 1)

struct chunk {
    uint32_t start, length, state;
};

/* FIT_ANY leaves the choice to the heap; for chunks it is best fit. */
enum fit { FIT_BEST, FIT_WORST, FIT_FIRST, FIT_ANY };

/* --- opening ------------------------------------------------------------------- */

/* Makes a ledger, at the end of the region, for a region of nbytes that ends at `end` and is all
 * free. Both are multiples of GRANULE_BYTES; nbytes is at most 64 GiB. */
void ledger_open(struct ledger *l, void *end, size_t nbytes);

/* Makes one with a guard [LG6]: nbytes are whole pages, three or more, of `page` granules. */
void ledger_open_guarded(struct ledger *l, void *end, size_t nbytes, uint32_t page);

/* Makes one with a gap [LG7] between two pieces that are open: the granules below `low`, and the
 * nbytes_high at the end. */
void ledger_open_with_gap(struct ledger *l, void *end, size_t nbytes, uint32_t low,
                          size_t nbytes_high);

/* Notes that there is no gap any longer. */
void ledger_end_gap(struct ledger *l);

/* Returns whether neither guard nor gap is in the way of a change, as far as a few instructions can
 * say: chunks up to the granule `end`, and the records. No change adds more than two of these, not
 * even for a moment. Of a guard, only ledger_check_guard can say it. */
static inline bool ledger_is_open(const struct ledger *l, uint64_t end)
{
    enum { NMORE = 2 };
    return l->guard.high == 0 ||
           (l->guard.page == 0 && end <= l->guard.low &&
            (l->b.tree[BY_ADDRESS].nwords + (uint64_t)NMORE) * BTREE_COST <= l->b.room);
}

/* Returns how many bytes from the region's begin on can be read: all chunks lie there. Any thread:
 * one that sees a chunk by a sequence count sees that it lies there. */
RACING static inline size_t ledger_readable_bytes(const struct ledger *l)
{
    return NOW(l->guard.high) == 0 ? l->nbytes : (size_t)NOW(l->guard.low) * GRANULE_BYTES;
}

/* Returns the bytes that the records take at most after such a change. */
size_t ledger_nbytes_most(const struct ledger *l);

/* Notes where the guard is from now on: low < high, around neither chunk nor record. */
void ledger_set_guard(struct ledger *l, uint32_t low, uint32_t high);

/* --- choosing: changes nothing ------------------------------------------------- */

/* Chooses the free chunk that an object of `length` > 0 granules should come from: the
 * smallest, the largest or the first that is large enough; the lowest one among
 * equals. Returns false if none is large enough; or if LG3 forces the object to take a hole
 * whole that is 4 GiB larger, since slack is counted with 32 bits. O(log n). */
bool ledger_choose(const struct ledger *l, uint32_t length, enum fit fit, struct chunk *chosen);

/* Chooses for an object that is to begin at a multiple of `align` granules, a power of two,
 * counted from `phase` granules before the region. *skip is how far into the chunk that is. Best
 * fit, though not the tightest where alignment leaves a choice. Returns false as
 * ledger_choose does. O(log n), but O(n) before it gives up. */
bool ledger_choose_aligned(const struct ledger *l, uint32_t length, uint32_t align, uint32_t phase,
                           struct chunk *chosen, uint32_t *skip);

/* Chooses as ledger_choose_aligned does, but only among holes: where chunks lie, memory is open
 * [LG7]. O(n). */
bool ledger_choose_hole(const struct ledger *l, uint32_t length, uint32_t align, uint32_t phase,
                        struct chunk *chosen, uint32_t *skip);

/* Returns true if the guard leaves room for taking [skip, skip + length) of that chunk. Returns
 * false if the guard is in the way, and then guard.wanted_low says where its low end has to be.
 * A resize in place is refused in the same way. O(1). */
bool ledger_check_guard(struct ledger *l, const struct chunk *from, uint32_t skip, uint32_t length);

/* --- changing ------------------------------------------------------------------ */

/* Makes the low end of a free chunk, as ledger_choose gave it, a live chunk of `length` granules
 * with `slack` unused bytes at the end. Returns its length, which is larger if there was no room
 * for a record of the rest; or 0 if there is no such free chunk, since the ledger is damaged.
 * O(log n). */
uint32_t ledger_take(struct ledger *l, const struct chunk *from, uint32_t length, uint32_t slack);

/* Makes [start + skip, + length) of a free chunk, as ledger_choose_aligned gave it, a
 * live chunk, and leaves what is before and behind it free. Returns false if the ledger is
 * damaged. O(log n). */
bool ledger_take_aligned(struct ledger *l, const struct chunk *from, uint32_t skip, uint32_t length,
                         uint32_t slack);

/* Counts granules that were free and had been used before, and are live now: some of them were
 * dirty and some have gone back, in the proportion in which there are both. */
void ledger_count_taken(struct ledger *l, uint32_t ngranules);

/* Returns whether a live chunk may be made `length` granules long, as far as its neighbour says.
 * O(log n). */
bool ledger_may_resize(const struct ledger *l, const struct chunk *c, uint32_t length);

/* Makes the live chunk that begins at `start` `length` granules long, with `slack` unused bytes:
 * what it gives up is free, what it needs comes from the free chunk behind it. Returns false, and
 * changes nothing, if that is not long enough or if the guard is in the way. O(log n). */
bool ledger_resize(struct ledger *l, uint32_t start, uint32_t length, uint32_t slack);

/* --- finding ------------------------------------------------------------------- */

/* A chunk that was found, and the place of its record: good until the ledger's next change. */
struct ledger_place {
    struct chunk chunk;
    struct cursor cursor; /* unless it is the tail, which has no record */
    uint32_t changes;     /* l->changes when it was found */
};

/* Finds the chunk that a granule lies in, or the tail. Returns false if the granule lies in none.
 * O(log n). */
bool ledger_find(const struct ledger *l, uint32_t granule, struct chunk *found);

/* Finds that chunk with the place of its record, for ledger_give_back. */
bool ledger_find_place(const struct ledger *l, uint32_t granule, struct ledger_place *p);

/* Makes the live chunk at `p` free, and one with its free neighbours. The ledger has not changed
 * since the place was found. Cannot fail for want of memory. O(log n). */
void ledger_give_back(struct ledger *l, const struct ledger_place *p);

/* Finds the chunk for a reader without the lock, which checks l->changes before and after [SQ1].
 * It never reads outside the region, and always returns. A length of 0 says that the granule
 * lies in no chunk. Returns false if what is there is not a ledger. */
bool ledger_lookup(const struct ledger *l, uint32_t granule, struct chunk *found);

/* The free chunks around a place, in address order; each may be the tail, and a length of 0 says
 * that there is none.
 *
 *     [before] ... | granule ... [here] ... [after]
 *
 * `here` begins at `granule` or is the next above it. O(log n). */
struct around {
    struct chunk before, here, after;
};
void ledger_around(const struct ledger *l, uint32_t granule, struct around *a);

/* Makes `hole` the next shorter hole than it, or the next lower one of equal length; returns false
 * if there is none. From {.length = UINT32_MAX} on it finds each hole once. O(log n). */
bool ledger_next_shorter(const struct ledger *l, struct chunk *hole);

/* Makes `hole` the next longer hole, or the next higher one of equal length. Returns false if there
 * is none, or if it could only be taken whole. O(log n). */
bool ledger_next_longer(const struct ledger *l, struct chunk *hole);

/* Returns the free space behind the last chunk; its length may be 0. */
struct chunk ledger_tail(const struct ledger *l);

/* Bytes that the records take at the end of the region now; and the most that they may have been
 * written to. */
size_t ledger_nbytes(const struct ledger *l);
size_t ledger_nbytes_written(const struct ledger *l);

/* Returns the granule below which no record was ever written. O(1). */
uint32_t ledger_clean_end(const struct ledger *l);

/* Returns the granule of [start, end) from which on nothing was ever written to it: that was never
 * given out, and held no records. A free list may have written to the first granule. Returns `end`
 * if there is none. */
uint32_t ledger_fresh_from(const struct ledger *l, uint32_t start, uint32_t end);

/* --- checking ------------------------------------------------------------------ */

/* Returns whether these numbers are possible. If they are, LG5 holds. O(1). */
bool ledger_is_sane(const struct ledger *l);

/* What a check has counted: the objects, and the chunks that another layer knows. */
struct recount {
    size_t nobjects, object_bytes; /* as asked for */
    uint32_t nreserved;            /* chunks */
};

/* Counts LG1 to LG4 and the trees anew. Returns what is wrong, in words; or NULL, and adds what it
 * has counted to *n. O(n) for n chunks, and O(h log h) for h holes. */
const char *ledger_fault(const struct ledger *l, struct recount *n);
bool ledger_is_valid(const struct ledger *l);

#endif

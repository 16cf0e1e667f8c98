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
 *   L1  chunks tile [0, top): no gap, no overlap;
 *   L2  no two free chunks are neighbours, and the last chunk is live;
 *   L3  each chunk costs CHUNK_COST bytes of the region, taken at its end:
 *       top * GRANULE_BYTES + nchunks * CHUNK_COST <= nbytes, always;
 *   L4  what the records take is never more than that (btree.h, B4).
 *
 * L3 is what makes placement predictable: how full the nodes of a tree happen
 * to be changes nothing. It also means that freeing never fails, as it never
 * needs a new chunk. When there is no room for one more, a hole is taken whole.
 *
 * All positions and lengths are in granules. Not thread-safe.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "btree.h"

enum { CHUNK_COST = 24 };

struct ledger {
    struct btree b;
    size_t nbytes; /* of the region */
};

/* `state` 0 is free; else live, with state - 1 bytes at the end that nobody asked for. */
struct chunk {
    uint32_t start, length, state;
};

enum fit { FIT_BEST, FIT_WORST, FIT_FIRST };

/* A ledger for a region of nbytes that ends at `end`, all free. */
void ledger_open(struct ledger *l, void *end, size_t nbytes);

/* Which free chunk an object of `length` > 0 granules should come from: the
 * smallest, the largest or the first that is large enough; the lowest one among
 * equals. False if and only if none is; or if L3 forces it to take a hole whole
 * that is 4 GiB too large. O(log n). */
bool ledger_choose(const struct ledger *l, uint32_t length, enum fit fit, struct chunk *chosen);

/* Makes the low end of a free chunk, as ledger_choose gave it, a live chunk of
 * `length` granules with `slack` unused bytes at the end. O(log n). */
void ledger_take(struct ledger *l, const struct chunk *from, uint32_t length, uint32_t slack);

/* The live chunk that begins at `start` is free, and one with its free
 * neighbours. Cannot fail. O(log n). */
void ledger_give_back(struct ledger *l, uint32_t start);

/* The chunk (the tail too) that a granule lies in; false if it lies in none. O(log n). */
bool ledger_find(const struct ledger *l, uint32_t granule, struct chunk *found);

/* The free chunk that begins at `granule` or next above it, and the one that
 * begins nearest below it; or false. O(log n). */
bool ledger_free_from(const struct ledger *l, uint32_t granule, struct chunk *found);
bool ledger_free_before(const struct ledger *l, uint32_t granule, struct chunk *found);

/* Bytes that the chunks cost now. */
size_t ledger_cost(const struct ledger *l);

/* Recounts L1 to L4 and all below. O(n log n). */
bool ledger_is_valid(const struct ledger *l);

#endif

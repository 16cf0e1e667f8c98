/* SPDX-License-Identifier: MIT
 *
 * span.h - 64 KiB of the region cut into equal slots, for small objects.
 *
 *     unit (64 KiB of addresses)        [slot 0][slot 1]...[slot n-1][rest]
 *     block (elsewhere, among blocks)   [head][state 0][state 1]...[state n-1]
 *     map (one entry for each unit)     what the unit is cut into, where its block is
 *
 *   S1  state[i] == 0  <=>  slot i is free; else it is an object, with state[i] - 1
 *       bytes at its end that nobody asked for: one byte says whether, and how
 *       large. (Of slots above NARROW_BYTES_MAX there are few: they have two.);
 *   S2  nothing is written to a slot but by its owner: states and payload never
 *       share a unit, so no overrun within payload reaches a state;
 *   S3  a span is in its class's queue if an eighth of its slots is free, and leaves
 *       it when none is;
 *   S4  an empty span goes back to the ledger, but for the last of its class; these
 *       go too before anybody is told that there is no space. With the last span
 *       goes the map.
 *
 * Blocks are slots themselves, in spans of their own whose block lies in their
 * first slots. All positions are granules or units, none an address.
 *
 * Not thread-safe.
 */
#ifndef SPAN_H
#define SPAN_H

#include "ledger.h"
#include "region.h"
#include "sizeclass.h"

enum { UNIT_SHIFT = 16, UNIT_BYTES = 1 << UNIT_SHIFT, UNIT_GRANULES = UNIT_BYTES / GRANULE_BYTES };

/* Larger objects are the ledger's. */
enum { SPAN_OBJECT_MAX = SLOT_BYTES_MAX, NARROW_BYTES_MAX = 2048 };

/* A region smaller than this has no spans: the first objects would fill it. */
#define SPAN_REGION_MIN ((size_t)1 << 23)

/* Queues hold units, counted from 1; 0 is the end. */
struct spans {
    struct region region;
    struct ledger *ledger;
    uint32_t map; /* where the map is, if nspans > 0 */
    uint32_t nspans;
    uint32_t queue[2][NCLASSES]; /* [0] of objects, [1] of blocks */
};

/* What an address in a span is. */
struct slot {
    uint32_t unit, index;
    uint32_t bytes, into; /* the slot's size; how far into it the address is */
    uint16_t state;
};

void spans_open(struct spans *s, struct region region, struct ledger *ledger);

/* A slot for nbytes <= SPAN_OBJECT_MAX at a multiple of its own size, which is at
 * least slot_bytes; NULL if there is no room, or if there would be more slack than
 * a state can tell. */
void *spans_take(struct spans *s, size_t nbytes, size_t slot_bytes);

/* The last resort: a free slot of any larger size, in a span that is there. */
void *spans_take_larger(struct spans *s, size_t nbytes);

/* Whether `offset` into the region lies in a span, and if so in which slot: slot->
 * state is 0 for a free slot, for what is left over behind the last, and for blocks. */
bool spans_find(const struct spans *s, size_t offset, struct slot *slot);

/* Frees a slot whose state is not 0. */
void spans_free(struct spans *s, const struct slot *slot);

/* Gives the object in the slot another size: false if a state cannot tell it, or if
 * the slot would be much too large for it. */
bool spans_resize(struct spans *s, const struct slot *slot, size_t nbytes);

/* Gives all empty spans back: whether there was one. */
bool spans_trim(struct spans *s);

/* Recounts S1 to S4. */
bool spans_are_valid(const struct spans *s);

#endif

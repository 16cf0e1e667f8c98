/* SPDX-License-Identifier: MIT
 *
 * slot.h - which slot of a span an address lies in: one multiplication, used by all lookups.
 *
 *     address -> page map -> span, offset in the span -> slot_divide -> slot, offset in the slot
 *
 * Instead of dividing by the slot size, all lookups multiply by its reciprocal (Granlund and
 * Montgomery, "Division by Invariant Integers using Multiplication", 1994).
 */
#ifndef SLOT_H
#define SLOT_H

#include "slots/pagemap.h"
#include "slots/state.h"

/* Returns ceil(2^32 / slot_bytes). With it, for every offset in a slice, the high half of offset
 * * reciprocal is the slot, and the low half is less than the reciprocal exactly where a slot
 * begins (test/unit/slots/span.c tries all offsets). In a large-slot span offset and slot size
 * are both counted in units of 2^WIDE_SHIFT bytes, so that they fit as well. */
static inline uint32_t slot_reciprocal(uint32_t slot_bytes)
{
    assert(slot_bytes >= SMALL_STEP && slot_bytes <= SLOT_BYTES_MAX);
    return UINT32_MAX / (is_wide(slot_bytes) ? slot_bytes >> WIDE_SHIFT : slot_bytes) + 1;
}

/* Where an offset lies: in which slot, and how far into it, in 2^-32 of a slot. */
struct slot_quotient {
    uint32_t index, fraction;
};

/* Divides an offset by the slot size. If the reciprocal is 0, the result is slot 0, and no slot
 * begins there. */
static inline struct slot_quotient slot_divide(uint32_t into, uint32_t reciprocal)
{
    uint64_t product = (uint64_t)into * reciprocal;
    return (struct slot_quotient){.index = (uint32_t)(product >> 32),
                                  .fraction = (uint32_t)product};
}

/* Returns whether a slot begins exactly at the offset. */
static inline bool slot_begins_at(struct slot_quotient q, uint32_t reciprocal)
{
    return q.fraction < reciprocal;
}

/* A slot that an address is the exact start of. */
struct slot_ref {
    struct span *span;
    unsigned char *state;
    uint32_t index;
};

/* Finds the slot that begins at an offset `into` a span (in units of 2^WIDE_SHIFT bytes, if it
 * is a large-slot span). Returns false if none begins there, or if the reciprocal is 0: then
 * readers must not look at the span. */
static inline bool slot_of_start(struct span *span, uint32_t into, uint32_t reciprocal,
                                 struct slot_ref *at)
{
    struct slot_quotient q = slot_divide(into, reciprocal);
    if (!slot_begins_at(q, reciprocal))
        return false;
    at->span = span;
    at->index = q.index;
    at->state = span->states + q.index;
    return true;
}

/* Returns which slot the byte at `into` lies in; nslots or more, if it lies behind the last
 * slot. */
static inline uint32_t slot_of_inside(uint32_t slot_bytes, uint32_t into, uint32_t reciprocal)
{
    return slot_divide(is_wide(slot_bytes) ? into >> WIDE_SHIFT : into, reciprocal).index;
}

/* What a lookup without the lock must know to find the span of an address. */
struct slot_view {
    uintptr_t base;       /* where the first slice begins: in it the region begins */
    size_t nbytes;        /* from there on */
    struct span *pagemap; /* the entry of the first slice */
};

/* Returns whether an address lies in the view, and stores how far from the first slice. */
static inline bool slot_view_has(const struct slot_view *v, uintptr_t address, size_t *offset)
{
    *offset = address - v->base; /* below the base it wraps, and is huge */
    return *offset < v->nbytes;
}

/* Returns whether an object of nbytes can be in a slot: it fits, and the states can say its
 * slack. */
static inline bool slot_can_hold(uint32_t slot_bytes, size_t nbytes)
{
    return nbytes <= slot_bytes && slot_bytes - nbytes <= slack_max(slot_bytes);
}

/* Returns whether an object of `old` bytes should stay in its slot when it is resized to nbytes:
 * not if it does not fit, and not if it gives up most of a large slot. */
static inline bool slot_suits(uint32_t slot_bytes, size_t old, size_t nbytes)
{
    enum { SMALL = 512, PART = 4 };
    return slot_can_hold(slot_bytes, nbytes) &&
           (slot_bytes <= SMALL || nbytes >= slot_bytes / PART || nbytes >= old - old / PART);
}

#endif

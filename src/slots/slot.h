/* SPDX-License-Identifier: MIT
 *
 * slot.h - which slot is this address?
 */
#ifndef SLOT_H
#define SLOT_H

#include "slots/pagemap.h"
#include "slots/state.h"

/* ceil(2^32 / slot_bytes): for all offsets in a unit (offset * reciprocal) >> 32 is the
 * slot, and the low half of the product is less than the reciprocal exactly where
 * a slot begins (test/unit/place.c tries all). In a wide span both are counted in
 * eights of bytes. The method: Granlund and Montgomery, "Division by Invariant
 * Integers using Multiplication", 1994. */
static inline uint32_t slot_reciprocal(uint32_t slot_bytes)
{
    return UINT32_MAX / (is_wide(slot_bytes) ? slot_bytes >> WIDE_SHIFT : slot_bytes) + 1;
}

/* Where in a span a position is: in which slot, and how far into it, in 2^-32 of a slot. */
struct slot_quotient {
    uint32_t index, fraction;
};

static inline struct slot_quotient slot_divide(uint32_t into, uint32_t reciprocal)
{
    uint64_t product = (uint64_t)into * reciprocal;
    return (struct slot_quotient){.index = (uint32_t)(product >> 32),
                                  .fraction = (uint32_t)product};
}

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

/* The slot that begins at the position `into` of a span: false if none does, or if the reciprocal
 * is 0. */
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

/* The slot that the position `into` of a span lies in. */
static inline uint32_t slot_of_inside(uint32_t slot_bytes, uint32_t into, uint32_t reciprocal)
{
    return slot_divide(is_wide(slot_bytes) ? into >> WIDE_SHIFT : into, reciprocal).index;
}

/* What is needed to find the span that an address lies in, without the lock. */
struct slot_view {
    uintptr_t base;       /* of the first slice, in which the region begins */
    size_t nbytes;        /* from there to the end of the view */
    struct span *pagemap; /* the entry of the first slice */
};

/* Where in the view an address lies: false if it does not. */
static inline bool slot_view_has(const struct slot_view *v, uintptr_t address, size_t *offset)
{
    *offset = address - v->base; /* below the base it wraps, and is huge */
    return *offset < v->nbytes;
}

/* Whether an object of nbytes can be in a slot; and whether one of `old` bytes that is
 * there should stay when it becomes that size: not if it gives up most of the slot. */
static inline bool slot_can_hold(uint32_t slot_bytes, size_t nbytes)
{
    return nbytes <= slot_bytes && slot_bytes - nbytes <= slack_max(slot_bytes);
}

static inline bool slot_suits(uint32_t slot_bytes, size_t old, size_t nbytes)
{
    enum { SMALL = 512, PART = 4 };
    return slot_can_hold(slot_bytes, nbytes) &&
           (slot_bytes <= SMALL || nbytes >= slot_bytes / PART || nbytes >= old - old / PART);
}

#endif

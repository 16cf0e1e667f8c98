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

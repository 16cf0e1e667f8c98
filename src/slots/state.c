/* SPDX-License-Identifier: MIT
 *
 * state.c - what is done to one state, or to all of a span. Invariants: state.h.
 */
#include "slots/state.h"

bool state_resize_object(unsigned char *states, uint32_t nslots, uint32_t index, uint32_t slack)
{
    bool far = slack > SLACK_NEAR_MAX;
    uint8_t state = (uint8_t)(far ? STATE_FAR : slack + 1);
    if (!state_replace(states + index, state))
        return false;
    if (far)
        __atomic_store_n(far_slack(states, nslots, index), (uint16_t)slack, __ATOMIC_RELAXED);
    return true;
}

uint32_t states_count_free(const unsigned char *states, uint32_t nslots)
{
    uint32_t nfree = 0;
    for (uint32_t i = 0; i < nslots; i += STATES_AT_ONCE)
        nfree += count_bits(free_slots(states + i, nslots - i));
    return nfree;
}

/* The first free slot from `from` on; nslots: there is none. */
uint32_t states_first_free(const unsigned char *states, uint32_t nslots, uint32_t from)
{
    if (from < nslots && state_get(states, from) == 0)
        return from;
    for (uint32_t i = from - from % STATES_AT_ONCE; i < nslots; i += STATES_AT_ONCE) {
        uint64_t mask = free_slots(states + i, nslots - i);
        mask &= i < from ? UINT64_MAX << (from - i) : UINT64_MAX;
        if (mask != 0)
            return i + (uint32_t)lowest_bit(mask);
    }
    return nslots;
}

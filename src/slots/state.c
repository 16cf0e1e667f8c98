/* SPDX-License-Identifier: MIT
 *
 * state.c - resizing an object by its state, and searches over all states of a span.
 * Invariants: state.h.
 */
#include "slots/state.h"

/* The state goes first, since only its swap can find that the slot is free by now. A reader
 * between the two stores sees STATE_FAR with the far slack of an earlier size. */
bool state_resize_object(unsigned char *states, uint32_t nslots, uint32_t index, uint32_t slack)
{
    assert(index < nslots && slack <= UINT16_MAX);
    bool far = slack > SLACK_NEAR_MAX;
    uint8_t state = (uint8_t)(far ? STATE_FAR : slack + 1);
    if (!state_replace(states + index, state))
        return false;
    if (far)
        __atomic_store_n(far_slack(states, nslots, index), (uint16_t)slack, __ATOMIC_RELAXED);
    return true;
}

/* The last step may read states behind the last slot, which free_slots leaves out. */
uint32_t states_count_free(const unsigned char *states, uint32_t nslots)
{
    uint32_t nfree = 0;
    for (uint32_t i = 0; i < nslots; i += STATES_AT_ONCE)
        nfree += count_bits(free_slots(states + i, nslots - i));
    return nfree;
}

/* Tries the state at `from` first, which is free most of the time, and then 64 states at once. */
uint32_t states_first_free(const unsigned char *states, uint32_t nslots, uint32_t from)
{
    assert(from <= nslots);
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

/* Goes from one run of taken slots to the next. Added to its lowest bit, a run of ones becomes the
 * one bit above it, or 0 if there is none. */
uint32_t states_first_run(const unsigned char *states, uint32_t nslots, uint32_t n)
{
    assert(n > 0);
    uint32_t begin = 0; /* of the free slots that end where the search has come to */
    for (uint32_t i = 0; i < nslots; i += STATES_AT_ONCE) {
        uint64_t taken = ~free_slots(states + i, nslots - i), carried;
        for (; taken != 0; taken &= carried) {
            if (i + (uint32_t)lowest_bit(taken) - begin >= n)
                return begin;
            carried = taken + (taken & -taken);
            begin = i + (carried == 0 ? STATES_AT_ONCE : (uint32_t)lowest_bit(carried));
        }
    }
    return begin + n <= nslots ? begin : nslots;
}

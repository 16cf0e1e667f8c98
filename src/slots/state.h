/* SPDX-License-Identifier: MIT
 *
 * state.h - the byte that says what a slot is, and all that is done to it.
 */
#ifndef STATE_H
#define STATE_H

#include "base/bits.h"
#include "slots/thread.h"

/* Which of the first n states are 0; of 64, if n is more. Bits that are set stay so
 * until the owner takes the slot [SP3]. Blocks are whole multiples of 64 bytes. */
enum { STATES_AT_ONCE = 64 };

static inline uint64_t free_slots(const unsigned char *states, uint32_t n)
{
    uint64_t mask = zeros_of_64(states);
    return n < STATES_AT_ONCE ? mask & (((uint64_t)1 << n) - 1) : mask;
}

/* The state of an object whose slack is told elsewhere, and where. Small slots have no
 * such place: a byte is enough for them. */
enum { STATE_FAR = 255, SLACK_NEAR_MAX = STATE_FAR - 2, ALL_NEAR_MAX = 256 };

static inline size_t far_offset(uint32_t nslots)
{
    return ((size_t)nslots / 2 + 1) * 2; /* behind the rest, too */
}

static inline uint16_t *far_slack(unsigned char *states, uint32_t nslots, uint32_t index)
{
    return (uint16_t *)(void *)(states + far_offset(nslots)) + index;
}

static inline uint32_t slack_max(uint32_t slot_bytes)
{
    return slot_bytes > ALL_NEAR_MAX ? UINT16_MAX : SLACK_NEAR_MAX;
}

/* What a state says, for who has no lock. */
static inline bool state_is_object(uint32_t state)
{
    return state != 0;
}

/* It is an object whose slack it tells itself. */
static inline bool state_is_near(uint32_t state)
{
    return (uint8_t)(state - 1) <= SLACK_NEAR_MAX;
}

static inline bool state_is_far(uint32_t state)
{
    return state == STATE_FAR;
}

static inline uint32_t state_slack_near(uint32_t state)
{
    return state - 1;
}

/* What every resize does: false if the slot is free by now. That is the one place where two
 * threads that race must not both win: a 0 must stay a 0 [SP3]. So they compare and swap, which
 * takes longer than all the rest, and which a thread without others can leave out. */
static inline bool state_replace(unsigned char *state, uint8_t with)
{
    uint8_t old = __atomic_load_n(state, __ATOMIC_RELAXED);
    if (old == 0 || old == with)
        return old != 0;
    if (!thread_is_the_only())
        return __atomic_compare_exchange_n(state, &old, with, false, __ATOMIC_RELEASE,
                                           __ATOMIC_RELAXED);
    __atomic_store_n(state, with, __ATOMIC_RELEASE);
    return true;
}

static inline uint32_t state_get(const unsigned char *states, uint32_t index)
{
    return __atomic_load_n(states + index, __ATOMIC_ACQUIRE);
}

static inline void state_clear(unsigned char *states, uint32_t index)
{
    __atomic_store_n(states + index, 0, __ATOMIC_RELEASE);
}

/* The slack of an object that had this state: it may have another by now. 0 if it was free. */
static inline uint32_t slack_of(unsigned char *states, uint32_t nslots, uint32_t index,
                                uint32_t state)
{
    if (state_is_far(state))
        return __atomic_load_n(far_slack(states, nslots, index), __ATOMIC_RELAXED);
    return state_is_object(state) ? state_slack_near(state) : 0;
}

static inline uint32_t state_slack(unsigned char *states, uint32_t nslots, uint32_t index)
{
    return slack_of(states, nslots, index, __atomic_load_n(states + index, __ATOMIC_RELAXED));
}

static inline size_t state_array_bytes(uint32_t nslots, uint32_t slot_bytes)
{
    enum { LINE = 64 };
    size_t n = far_offset(nslots);
    if (slot_bytes > ALL_NEAR_MAX)
        n += nslots * sizeof(uint16_t);
    return ceil_div(n, LINE) * LINE;
}

static inline void state_make_object(unsigned char *states, uint32_t nslots, uint32_t index,
                                     uint32_t slack)
{
    bool far = slack > SLACK_NEAR_MAX;
    if (far)
        __atomic_store_n(far_slack(states, nslots, index), (uint16_t)slack, __ATOMIC_RELAXED);
    uint8_t state = (uint8_t)(far ? STATE_FAR : slack + 1);
    __atomic_store_n(states + index, state, __ATOMIC_RELEASE);
}

bool state_resize_object(unsigned char *states, uint32_t nslots, uint32_t index, uint32_t slack);

uint32_t states_count_free(const unsigned char *states, uint32_t nslots);

/* The first free slot from `from` on; nslots: there is none. */
uint32_t states_first_free(const unsigned char *states, uint32_t nslots, uint32_t from);

#endif

/* SPDX-License-Identifier: MIT
 *
 * state.h - the byte that says what a slot is: the truth about the slot, without a lock.
 *
 *     0                    the slot is free
 *     1 ... 254            an object, with state - 1 bytes of slack at its end
 *     255 = STATE_FAR      an object whose slack is in 16 bits behind the states
 *
 *     state array   [state 0] ... [state n-1] [0] [far slack 0] ... [far slack n-1]
 *
 *   ST1  only the owner of a slot's span changes its state from 0 (span.h, SP3), so a state that
 *        the owner has seen as 0 stays 0 until the owner takes the slot. Any thread may store 0;
 *   ST2  a thread that frees stores the 0 with release, and the owner reads it with acquire: all
 *        that was done to the old object happens before the slot is taken again;
 *   ST3  the byte behind the last state is always 0. What is left over behind the last slot may be
 *        taken for a slot, and is always free;
 *   ST4  only spans whose slots are larger than ALL_NEAR_MAX have far slack: in smaller slots one
 *        byte can say any slack;
 *   ST5  in spans of slots larger than CLEAN_FROM a free slot whose far slack is FAR_CLEAN is all
 *        zero: it was never handed out, and the span was made of clean memory (ledger/clean.h).
 *        Each call that takes such a slot writes another far slack.
 */
#ifndef STATE_H
#define STATE_H

#include "base/bits.h"
#include "slots/thread.h"

/* A state array is a whole multiple of this many bytes, so that 64 states can always be read at
 * once. */
enum { STATES_AT_ONCE = 64 };

/* Returns which of the first n states are 0, as bits; of the first 64, if n is larger. Every
 * load is an acquire. For the owner of the span a bit that is set stays true [ST1]. */
static inline uint64_t free_slots(const unsigned char *states, uint32_t n)
{
    uint64_t mask = zeros_of_64(states);
    return n < STATES_AT_ONCE ? mask & (((uint64_t)1 << n) - 1) : mask;
}

/* The state of an object whose slack does not fit into the byte; the largest slack that does;
 * and the largest slots without far slack [ST4]. */
enum { STATE_FAR = 255, SLACK_NEAR_MAX = STATE_FAR - 2, ALL_NEAR_MAX = 256 };

/* The far slack of a slot that was never handed out, which is more than any object has; and the
 * largest slots in which that is not noted, since to clear them is cheap [ST5]. */
enum { FAR_CLEAN = UINT16_MAX, CLEAN_FROM = 2048 };

/* Returns where in the state array the far slack begins: an even offset, behind the byte of ST3. */
static inline size_t far_offset(uint32_t nslots)
{
    return ((size_t)nslots / 2 + 1) * 2; /* behind the rest, too */
}

/* Returns the place of the far slack of a slot; only in spans that have far slack [ST4]. */
static inline uint16_t *far_slack(unsigned char *states, uint32_t nslots, uint32_t index)
{
    return (uint16_t *)(void *)(states + far_offset(nslots)) + index;
}

/* Returns whether a free slot is known to be zero. Only its owner or the lock holder asks, and only
 * in spans of slots larger than CLEAN_FROM [ST5]. */
static inline bool far_is_clean(const uint16_t *far)
{
    return __atomic_load_n(far, __ATOMIC_RELAXED) == FAR_CLEAN;
}

/* Returns the largest slack, in bytes, that a slot of this size can have. */
static inline uint32_t slack_max(uint32_t slot_bytes)
{
    return slot_bytes > ALL_NEAR_MAX ? FAR_CLEAN - 1 : SLACK_NEAR_MAX;
}

/* These four say what a state means that was read once. Such a state may be changed by another
 * thread at any time. */
static inline bool state_is_object(uint32_t state)
{
    return state != 0;
}

/* Returns whether it is an object, and the state itself gives the slack. (0 wraps to 255.) */
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

/* Changes the state of an object to `with`, which is not 0. Returns false, and changes nothing,
 * if the slot is free by now. Only here must two racing threads not both succeed: a 0 must stay
 * 0 [ST1]. So the thread compares and swaps, which takes longer than all the rest of a resize; a
 * process with one thread leaves that out. */
static inline bool state_replace(unsigned char *state, uint8_t with)
{
    assert(with != 0); /* a free is state_clear */
    uint8_t old = __atomic_load_n(state, __ATOMIC_RELAXED);
    if (old == 0 || old == with)
        return old != 0;
    if (!thread_is_the_only())
        return __atomic_compare_exchange_n(state, &old, with, false, __ATOMIC_RELEASE,
                                           __ATOMIC_RELAXED);
    __atomic_store_n(state, with, __ATOMIC_RELEASE);
    return true;
}

/* Reads one state with acquire. */
static inline uint32_t state_get(const unsigned char *states, uint32_t index)
{
    return __atomic_load_n(states + index, __ATOMIC_ACQUIRE);
}

/* Frees one slot: all that the freeing thread did to the object happens before the slot is taken
 * again. */
static inline void state_clear(unsigned char *states, uint32_t index)
{
    __atomic_store_n(states + index, 0, __ATOMIC_RELEASE);
}

/* Returns the slack of an object whose state was read as `state`, or 0 if that is free. By now
 * another thread may have resized the object; then the result is its old slack or its new one. */
static inline uint32_t slack_of(unsigned char *states, uint32_t nslots, uint32_t index,
                                uint32_t state)
{
    if (state_is_far(state))
        return __atomic_load_n(far_slack(states, nslots, index), __ATOMIC_RELAXED);
    return state_is_object(state) ? state_slack_near(state) : 0;
}

/* Returns the slack of a slot's object as it is now; 0 if the slot is free. */
static inline uint32_t state_slack(unsigned char *states, uint32_t nslots, uint32_t index)
{
    return slack_of(states, nslots, index, __atomic_load_n(states + index, __ATOMIC_RELAXED));
}

/* Returns the bytes of the state array of a span. State arrays fill cache lines, so that the
 * owners of two spans never write to the same line. */
static inline size_t state_array_bytes(uint32_t nslots, uint32_t slot_bytes)
{
    enum { LINE = 64 };
    size_t n = far_offset(nslots);
    if (slot_bytes > ALL_NEAR_MAX)
        n += nslots * sizeof(uint16_t);
    return ceil_div(n, LINE) * LINE;
}

/* Makes a free slot an object. Only the owner of the span calls it, or the lock holder if the
 * span has no owner [ST1]. slack <= slack_max(bytes of the slot). */
static inline void state_make_object(unsigned char *states, uint32_t nslots, uint32_t index,
                                     uint32_t slack)
{
    assert(index < nslots && slack <= UINT16_MAX);
    assert(state_get(states, index) == 0); /* else a second caller has the slot [ST1] */
    bool far = slack > SLACK_NEAR_MAX;
    if (far)
        __atomic_store_n(far_slack(states, nslots, index), (uint16_t)slack, __ATOMIC_RELAXED);
    uint8_t state = (uint8_t)(far ? STATE_FAR : slack + 1);
    __atomic_store_n(states + index, state, __ATOMIC_RELEASE);
}

/* Gives an object another slack; any thread may call it. Returns false, and changes nothing, if
 * the slot is free by now. */
bool state_resize_object(unsigned char *states, uint32_t nslots, uint32_t index, uint32_t slack);

/* Returns how many of the first nslots states are 0. */
uint32_t states_count_free(const unsigned char *states, uint32_t nslots);

/* Returns the first of n > 0 consecutive free slots, or nslots if there are none. */
uint32_t states_first_run(const unsigned char *states, uint32_t nslots, uint32_t n);

/* Returns the first free slot from `from` on, or nslots if there is none. */
uint32_t states_first_free(const unsigned char *states, uint32_t nslots, uint32_t from);

#endif

/* SPDX-License-Identifier: MIT
 *
 * slots.c - slack and state of a slot, and the steps of its lookup.
 *
 * Proves: is_wide, slot_reciprocal, slot_divide, slot_begins_at, slot_view_has, slack_max,
 *     slot_can_hold, slot_suits, state_is_object, state_is_near, state_is_far,
 *     state_slack_near, far_offset, state_array_bytes, state_get, state_clear,
 *     state_make_object, state_replace. */
#include "model.h"
#include "conversions.h"
#include "shifts.h"

#include "slots/slot.h"

#include "base.h"

/*@ assigns \nothing;
    ensures \result <==> slot_bytes > NARROW_BYTES_MAX; */
static inline bool is_wide(size_t slot_bytes);

/* The slot size in the unit in which offsets are counted. */
/*@ logic integer unit_bytes(integer slot_bytes) =
      slot_bytes > NARROW_BYTES_MAX ? slot_bytes / 32 : slot_bytes;
    logic integer reciprocal_of(integer d) = 0xffffffff / d + 1; */

/*@ requires SMALL_STEP <= slot_bytes <= SLOT_BYTES_MAX;
    assigns \nothing;
    ensures \result == reciprocal_of(unit_bytes(slot_bytes)); */
static inline uint32_t slot_reciprocal(uint32_t slot_bytes);

/*@ assigns \nothing;
    ensures \result.index == (into * reciprocal) / TWO_32;
    ensures \result.fraction == (into * reciprocal) % TWO_32; */
static inline struct slot_quotient slot_divide(uint32_t into, uint32_t reciprocal);

/*@ assigns \nothing;
    ensures \result <==> q.fraction < reciprocal; */
static inline bool slot_begins_at(struct slot_quotient q, uint32_t reciprocal);

/*@ requires \valid_read(v) && \valid(offset) && \separated(v, offset);
    requires v->base + v->nbytes <= TWO_64;
    assigns *offset;
    ensures \result <==> v->base <= address && address - v->base < v->nbytes;
    ensures \result ==> *offset == address - v->base; */
static inline bool slot_view_has(const struct slot_view *v, uintptr_t address, size_t *offset);

/*@ assigns \nothing;
    ensures \result == (slot_bytes > 256 ? 65534 : 253); */
static inline uint32_t slack_max(uint32_t slot_bytes);

/*@ assigns \nothing;
    ensures \result <==> nbytes <= slot_bytes &&
      slot_bytes - nbytes <= (slot_bytes > 256 ? 65534 : 253); */
static inline bool slot_can_hold(uint32_t slot_bytes, size_t nbytes);

/*@ requires nbytes <= old || old <= slot_bytes;
    assigns \nothing;
    ensures \result ==> nbytes <= slot_bytes;
    ensures \result && slot_bytes > 512 ==>
      4 * nbytes > slot_bytes - 4 || 4 * nbytes >= 3 * old; */
static inline bool slot_suits(uint32_t slot_bytes, size_t old, size_t nbytes);

/* State bytes. */
/*@ assigns \nothing;
    ensures \result <==> state != 0; */
static inline bool state_is_object(uint32_t state);

/*@ requires state <= 255;
    assigns \nothing;
    ensures \result <==> 1 <= state <= 254; */
static inline bool state_is_near(uint32_t state);

/*@ assigns \nothing;
    ensures \result <==> state == 255; */
static inline bool state_is_far(uint32_t state);

/*@ requires state > 0;
    assigns \nothing;
    ensures \result == state - 1; */
static inline uint32_t state_slack_near(uint32_t state);

/*@ logic integer far_start(integer nslots) = 2 * (nslots / 2 + 1); */

/* Behind nslots states and the byte that is always 0 [ST3], and even. */
/*@ requires nslots <= 65536;
    assigns \nothing;
    ensures \result == far_start(nslots);
    ensures nslots + 1 <= \result <= nslots + 2; */
static inline size_t far_offset(uint32_t nslots);

/*@ requires nslots <= 65536;
    assigns \nothing;
    ensures \result == 64 * ceil(far_start(nslots) + (slot_bytes > 256 ? 2 * nslots : 0), 64);
    ensures \result >= nslots + 1 + (slot_bytes > 256 ? 2 * nslots : 0);
    ensures \result < nslots + 2 + (slot_bytes > 256 ? 2 * nslots : 0) + 64; */
static inline size_t state_array_bytes(uint32_t nslots, uint32_t slot_bytes);

/*@ requires \valid_read(states + index);
    assigns \nothing;
    ensures \result == states[index]; */
static inline uint32_t state_get(const unsigned char *states, uint32_t index);

/*@ requires \valid(states + index);
    assigns states[index];
    ensures states[index] == 0; */
static inline void state_clear(unsigned char *states, uint32_t index);

/*@ requires \valid(states + (0 .. nslots - 1)) && index < nslots;
    requires states[index] == 0;
    requires slack <= 253;
    assigns states[index];
    ensures states[index] == slack + 1; */
static inline void state_make_object(unsigned char *states, uint32_t nslots, uint32_t index,
                                     uint32_t slack);

/*@ assigns \nothing; */
static inline bool thread_is_the_only(void);

/*@ requires \valid(state);
    requires with != 0;
    assigns *state;
    ensures \old(*state) == 0 ==> !\result && *state == 0;
    ensures \old(*state) != 0 ==> \result && *state == with; */
static inline bool state_replace(unsigned char *state, uint8_t with);

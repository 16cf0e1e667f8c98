/* SPDX-License-Identifier: MIT
 *
 * reciprocal.c - multiplying by the reciprocal finds the slot that division would find.
 *
 * Proves: slot_of_start, slot_of_inside. */
#include "model.h"
#include "conversions.h"
#include "shifts.h"

#include "slots/slot.h"

/*@ assigns \nothing;
    ensures \result <==> slot_bytes > NARROW_BYTES_MAX; */
static inline bool is_wide(size_t slot_bytes);

/* The slot size in the unit in which offsets are counted. */
/*@ logic integer unit_bytes(integer slot_bytes) =
      slot_bytes > NARROW_BYTES_MAX ? slot_bytes / 32 : slot_bytes;
    logic integer reciprocal_of(integer d) = 0xffffffff / d + 1; */

/* Granlund and Montgomery: m = ceil(2^32 / d) exceeds 2^32 / d by e / d, where 0 <= e < d. For
 * n = q * d + r the product n * m is q * 2^32 + (q * e + r * m), and the part in brackets is less
 * than 2^32; it is less than m exactly if r is 0. */
/*@ logic integer excess(integer d) = reciprocal_of(d) * d - TWO_32;
    logic integer low_part(integer n, integer d) =
      (n / d) * excess(d) + (n % d) * reciprocal_of(d);
    lemma division: \forall integer d, n; 0 < d && 0 <= n ==>
      n == (n / d) * d + n % d && 0 <= n % d < d && 0 <= n / d;
    lemma excess: \forall integer d; 2 <= d <= 8192 ==> 0 <= excess(d) < d;
    lemma large: \forall integer d; 2 <= d <= 8192 ==> 65536 * 8 <= reciprocal_of(d);
    lemma product: \forall integer d, n; 2 <= d <= 8192 && 0 <= n < 65536 ==>
      n * reciprocal_of(d) == (n / d) * TWO_32 + low_part(n, d);
    lemma smaller: \forall integer q, d, e; 0 <= e < d && 0 <= q && q * d < 65536 ==>
      0 <= q * e < 65536;
    lemma first: \forall integer d, n; 2 <= d <= 8192 && 0 <= n < 65536 ==>
      0 <= (n / d) * excess(d) < 65536;
    lemma second: \forall integer d, r; 2 <= d <= 8192 && 0 <= r < d ==>
      r * reciprocal_of(d) <= (d - 1) * reciprocal_of(d);
    lemma low: \forall integer d, n; 2 <= d <= 8192 && 0 <= n < 65536 ==>
      0 <= low_part(n, d) < TWO_32 && (low_part(n, d) < reciprocal_of(d) <==> n % d == 0);
    lemma quotient: \forall integer d, n; 2 <= d <= 8192 && 0 <= n < 65536 ==>
      (n * reciprocal_of(d)) / TWO_32 == n / d &&
      (n * reciprocal_of(d)) % TWO_32 == low_part(n, d); */

/*@ assigns \nothing;
    ensures \result.index == (into * reciprocal) / TWO_32;
    ensures \result.fraction == (into * reciprocal) % TWO_32; */
static inline struct slot_quotient slot_divide(uint32_t into, uint32_t reciprocal);

/*@ assigns \nothing;
    ensures \result <==> q.fraction < reciprocal; */
static inline bool slot_begins_at(struct slot_quotient q, uint32_t reciprocal);

/* The four answers that the comment of slot_reciprocal promises. */
/*@ requires \valid(at) && \valid_read(&span->states) && \separated(at, &span->states);
    requires into < 65536;
    assigns *at;
    ensures reciprocal == 0 ==> !\result;
    ensures \forall integer d; 2 <= d <= 8192 && reciprocal == reciprocal_of(d) ==>
      (\result <==> into % d == 0) && (\result ==> at->index == into / d && at->span == span); */
static inline bool slot_of_start(struct span *span, uint32_t into, uint32_t reciprocal,
                                 struct slot_ref *at);

/*@ requires SMALL_STEP <= slot_bytes <= SLOT_BYTES_MAX;
    requires into < (slot_bytes > NARROW_BYTES_MAX ? 32 * 65536 : 65536);
    requires reciprocal == reciprocal_of(unit_bytes(slot_bytes));
    assigns \nothing;
    ensures \result ==
      (slot_bytes > NARROW_BYTES_MAX ? into / 32 : into) / unit_bytes(slot_bytes); */
static inline uint32_t slot_of_inside(uint32_t slot_bytes, uint32_t into, uint32_t reciprocal);

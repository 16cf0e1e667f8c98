/* SPDX-License-Identifier: MIT
 *
 * conversions.h - what C says about conversions to unsigned types (6.3.1.3), as far as the proofs
 * need it. WP knows it only for numbers that the type has. words.smt2 proves it on bit vectors.
 */
/*@ axiomatic Near {
      axiom to_32_below: \forall integer x; -TWO_32 <= x < 0 ==> (uint32_t)x == x + TWO_32;
      axiom to_32_above: \forall integer x;
        TWO_32 <= x < 2 * TWO_32 ==> (uint32_t)x == x - TWO_32;
      axiom to_32_times_8: \forall integer x; // 8 * x wraps seven times for the largest x
        7 * TWO_32 <= x < 8 * TWO_32 ==> (uint32_t)x == x - 7 * TWO_32;
    } */

#ifndef NEAR_ONLY
/*@ axiomatic Far {
      axiom to_32: \forall integer x; 0 <= x < TWO_64 ==> (uint32_t)x == x % TWO_32;
      axiom to_8: \forall integer x; 0 <= x < TWO_64 ==> (uint8_t)x == x % 0x100;
      axiom to_8_below: \forall integer x; -0x100 <= x < 0 ==> (uint8_t)x == x + 0x100;
      axiom to_64_below: \forall integer x; -TWO_64 <= x < 0 ==> (uint64_t)x == x + TWO_64;
      axiom to_64_above: \forall integer x;
        TWO_64 <= x < 2 * TWO_64 ==> (uint64_t)x == x - TWO_64;
    } */
#endif

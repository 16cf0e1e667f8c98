/* SPDX-License-Identifier: MIT
 *
 * shifts.h - what C says about shifts (6.5.7), and about | and ^ of a few numbers, as far as the
 * proofs need it. WP knows hardly any of it. words.smt2 proves it on bit vectors.
 */
/*@ logic integer power(integer k) = // 2^k
      k == 4 ? 16 : k == 5 ? 32 : k == 6 ? 64 : k == 7 ? 128 : k == 8 ? 256 : k == 9 ? 512 :
      k == 10 ? 1024 : k == 11 ? 2048 : 4096;

    axiomatic Shifts {
      axiom right_5: \forall integer x; 0 <= x < TWO_64 ==> (x >> 5) == x / 32;
      axiom right_32: \forall integer x; 0 <= x < TWO_64 ==> (x >> 32) == x / TWO_32;
      axiom right: \forall integer x, k;
        0 <= x < TWO_64 && 4 <= k <= 12 ==> (x >> k) == x / power(k);
      axiom left: \forall integer x, k;
        0 <= x < TWO_32 && 4 <= k <= 12 ==> (x << k) == x * power(k);
      axiom left_32: \forall integer x; 0 <= x < TWO_32 ==> (x << 32) == x * TWO_32;
      axiom and_not_31: \forall integer x; 0 <= x < TWO_64 ==> (x & -32) == x - x % 32;
      axiom or_disjoint: \forall integer x, y;
        0 <= x < TWO_32 && 0 <= y < TWO_32 ==> ((x << 32) | y) == x * TWO_32 + y;
      axiom or_3: \forall integer x; 0 <= x < 16 ==> (x | 3) == x - x % 4 + 3;
      axiom xor_31: \forall integer x; 0 <= x < 32 ==> (31 ^ x) == 31 - x;
    } */

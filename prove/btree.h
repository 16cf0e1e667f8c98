/* SPDX-License-Identifier: MIT
 *
 * btree.h - contracts of the words of a B+ tree: a high and a low half, of 32 bits each.
 */

/*@ assigns \nothing;
    ensures \result == high * TWO_32 + low; */
static inline uint64_t word_of(uint32_t high, uint32_t low);

/*@ assigns \nothing;
    ensures \result == word / TWO_32; */
static inline uint32_t high_of(uint64_t word);

/*@ assigns \nothing;
    ensures \result == word % TWO_32; */
static inline uint32_t low_of(uint64_t word);

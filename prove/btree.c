/* SPDX-License-Identifier: MIT
 *
 * btree.c - the search in a node, what stands for a leaf, and into how many nodes words go.
 *
 * Proves: high_of, low_of, count_below_or_at, longest_free, free_length, longer_of, cap_of, min_of,
 *     nwords_of, nnodes_wanted. */
#include "model.h"
#include "conversions.h"
#include "shifts.h"

/* What the loops speak of (loops.txt): whether words are in order; whether those at [from, to) are
 * <= key, or > key. In a leaf of n words that ends at `end`: how long the free chunk of word k is,
 * 0 if it is live; and the longest of the first i. */
/*@ predicate is_sorted(uint64_t *word, integer n) =
      \forall integer i, j; 0 <= i <= j < n ==> word[i] <= word[j];
    predicate are_at_most(uint64_t *word, integer from, integer to, integer key) =
      \forall integer i; from <= i < to ==> word[i] <= key;
    predicate are_above(uint64_t *word, integer from, integer to, integer key) =
      \forall integer i; from <= i < to ==> word[i] > key;
    logic integer length_of(integer word, integer end) =
      word % TWO_32 == 0 ? (uint32_t)(end - word / TWO_32) : 0;
    logic integer free_at(uint64_t *word, integer n, integer end, integer k) =
      length_of(word[k], k + 1 < n ? word[k + 1] / TWO_32 : end);
    logic integer longest_of(uint64_t *word, integer n, integer end, integer i) =
      i <= 0 ? 0 : \max(longest_of(word, n, end, i - 1), free_at(word, n, end, i - 1)); */

#include "ledger/btree.c"

#include "base.h"
#include "btree.h"

/* --- the search --- */

/* In words that are in order, the result says where a key belongs: all words before it are <= key,
 * and all others are > key. In any others, it is at most nwords [BT5]. */
/*@ requires 0 <= nwords <= ARRAY_MAX && \valid_read(word + (0 .. nwords - 1));
    assigns \nothing;
    ensures 0 <= \result <= nwords;
    ensures is_sorted(word, nwords) ==>
      are_at_most(word, 0, \result, key) && are_above(word, \result, nwords, key); */
RACING static int count_below_or_at(const uint64_t *word, int nwords, uint64_t key);

/* --- summaries [BT2] --- */

/* The length of a chunk if its word says that it is free. */
/*@ assigns \nothing;
    ensures \result == length_of(word, end); */
static uint32_t free_length(uint64_t word, uint32_t end);

/*@ assigns \nothing;
    ensures \result == \max(a, b); */
static uint32_t longer_of(uint32_t a, uint32_t b);

/*@ requires 0 <= nwords <= LEAF_CAP && \valid_read(word + (0 .. nwords - 1));
    assigns \nothing;
    ensures \result == longest_of(word, nwords, end, nwords); */
static uint32_t longest_free(const uint64_t *word, int nwords, uint32_t end);

/* --- how many words a node has --- */

/*@ logic integer cap(integer level) = level == 0 ? LEAF_CAP : INNER_CAP;
    logic integer min(integer level) = level == 0 ? LEAF_MIN : INNER_MIN; */

/*@ assigns \nothing;
    ensures \result == cap(level); */
RACING static int cap_of(unsigned level);

/*@ assigns \nothing;
    ensures \result == min(level); */
static int min_of(unsigned level);

/* At least one word, and at most as many as a node has places, whatever the node says [BT5]. */
/*@ requires \valid_read(x);
    assigns \nothing;
    ensures 1 <= \result <= cap(level);
    ensures 1 <= x->nwords <= cap(level) ==> \result == x->nwords; */
static int nwords_of(const struct node *x, unsigned level);

/* Split and join. The words fit, with a place left in each node: when a node is full, and when a
 * node has one word less than it should. If these were five nodes, each of the new ones has as
 * many words as BT3 asks for. */
/*@ requires 0 < nnodes <= GROUP_MAX;
    requires 0 <= nwords <= nnodes * cap(level);
    assigns \nothing;
    ensures grow ==> nnodes <= \result <= nnodes + 1;
    ensures !grow ==> \max(1, nnodes - 1) <= \result <= nnodes;
    ensures grow || nwords < min(level) + (nnodes - 1) * cap(level) ==>
      nwords <= \result * (cap(level) - 1);
    ensures nnodes == GROUP_MAX && nwords >= nnodes * min(level) - 1 &&
      (grow ==> nwords >= cap(level) + (nnodes - 1) * min(level)) ==>
      \result * min(level) <= nwords; // BT3
    */
static int nnodes_wanted(int nwords, int nnodes, unsigned level, bool grow);

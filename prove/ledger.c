/* SPDX-License-Identifier: MIT
 *
 * ledger.c - best, worst and first fit, and how much room the records leave.
 *
 * Proves: word_of, cursor_word, nchunks, granules_left, has_room, ledger_tail, chunk_at,
 *     first_hole, best_hole, worst_hole, is_no_hole, can_take,
 *     ledger_choose, has_so_much. */
#include "model.h"
#include "conversions.h"
#include "shifts.h"

#include "ledger/ledger.c"

#include "base.h"
#include "btree.h"
#include "room.h"

/* --- what the B+ tree promises (btree.h) ---
 *
 * has_word: which words the two sequences have while a chunk is chosen, which changes neither. */

/*@ axiomatic Words_of_a_btree {
      predicate has_word(integer order, integer word);
      logic integer end_of_chunk(integer start);
    }
    logic integer word_at(struct cursor *c) = c->step[0].word[c->step[0].index];
    predicate at_word(struct cursor *c) = \valid_read(c->step[0].word + c->step[0].index);

    // A hole, as the order by size has it.
    predicate hole(integer start, integer length) =
      0 <= start < TWO_32 && 0 <= length < TWO_32 && has_word(BY_SIZE, length * TWO_32 + start);
    // A free chunk, as the order by address has it.
    predicate is_free(integer start, integer length) =
      0 <= start < TWO_32 && 0 <= length < TWO_32 && has_word(BY_ADDRESS, start * TWO_32) &&
      end_of_chunk(start) == start + length; */

/*@ requires \valid_read(b) && \valid(c) && key > 0;
    assigns *c;
    ensures \result ==> at_word(c) && has_word(order, word_at(c)) && word_at(c) >= key &&
      c->order == order;
    ensures \result ==> \forall integer w; has_word(order, w) && w >= key ==> word_at(c) <= w;
    ensures !\result ==> \forall integer w; has_word(order, w) ==> w < key; */
bool btree_ceil(const struct btree *b, enum order order, uint64_t key, struct cursor *c);

/*@ requires \valid_read(b) && \valid(c);
    assigns *c;
    ensures \result ==> at_word(c) && has_word(order, word_at(c)) && c->order == order;
    ensures \result && order == BY_SIZE ==> hole(word_at(c) % TWO_32, word_at(c) / TWO_32);
    ensures \result ==> \forall integer w; has_word(order, w) ==> w <= word_at(c);
    ensures !\result ==> \forall integer w; !has_word(order, w); */
bool btree_last(const struct btree *b, enum order order, struct cursor *c);

/*@ requires \valid_read(b) && \valid(c) && ngranules > 0;
    assigns *c;
    ensures \result ==> at_word(c) && c->order == BY_ADDRESS && word_at(c) % TWO_32 == 0 &&
      is_free(word_at(c) / TWO_32, end_of_chunk(word_at(c) / TWO_32) - word_at(c) / TWO_32) &&
      c->step[0].index != BEFORE_FIRST;
    ensures \result ==>
      end_of_chunk(word_at(c) / TWO_32) - word_at(c) / TWO_32 >= ngranules;
    ensures \result ==> \forall integer s, n; is_free(s, n) && n >= ngranules ==>
      word_at(c) / TWO_32 <= s;
    ensures !\result ==> \forall integer s, n; is_free(s, n) ==> n < ngranules; */
bool btree_first_free(const struct btree *b, uint32_t ngranules, struct cursor *c);

/*@ requires \valid_read(b) && \valid_read(c) && at_word(c) && c->order == BY_ADDRESS;
    assigns \nothing;
    ensures \result == end_of_chunk(word_at(c) / TWO_32); */
uint32_t btree_chunk_end(const struct btree *b, const struct cursor *c);

/*@ requires \valid_read(c) && at_word(c);
    assigns \nothing;
    ensures \result == word_at(c); */
static inline uint64_t cursor_word(const struct cursor *c);

/* --- the tail --- */

/*@ logic integer tail_end(struct ledger *l) =
      \max(left(l, count(l) + 1, CHUNK_COST),
           \min(l->high, left(l, count(l) + 1, BTREE_COST)));
    logic integer tail(struct ledger *l) = \max(0, tail_end(l) - l->b.top); */

/*@ requires \valid_read(l) && sane(l);
    assigns \nothing;
    ensures \result.start == l->b.top && \result.length == tail(l) && \result.state == 0;
    ensures \result.length > 0 ==>
      (\result.start + \result.length) * 16 + (count(l) + 1) * BTREE_COST <= l->nbytes; // LG3
    */
RACING struct chunk ledger_tail(const struct ledger *l);

/* --- choosing --- */

/*@ requires \valid_read(l) && \valid_read(c) && at_word(c) && c->order == BY_ADDRESS;
    assigns \nothing;
    ensures \result.start == word_at(c) / TWO_32;
    ensures \result.state == word_at(c) % TWO_32;
    ensures \result.start + \result.length == end_of_chunk(word_at(c) / TWO_32) ||
      end_of_chunk(word_at(c) / TWO_32) < \result.start; */
static struct chunk chunk_at(const struct ledger *l, const struct cursor *c);

/*@ requires \valid_read(l) && \valid(hole) && \separated(l, hole) && length > 0;
    assigns *hole;
    ensures \result ==> is_free(hole->start, hole->length) && hole->length >= length;
    ensures \result ==> \forall integer s, n; is_free(s, n) && n >= length ==>
      hole->start <= s;
    ensures !\result ==> \forall integer s, n; is_free(s, n) ==> n < length; */
static bool first_hole(const struct ledger *l, uint32_t length, struct chunk *hole);

/*@ requires \valid_read(l) && \valid(hole) && \separated(l, hole) && length > 0;
    assigns *hole;
    ensures \result ==> hole(hole->start, hole->length) && hole->length >= length;
    ensures \result ==> \forall integer s, n; hole(s, n) && n >= length ==>
      hole->length < n || (hole->length == n && hole->start <= s);
    ensures !\result ==> \forall integer s, n; hole(s, n) ==> n < length; */
static bool best_hole(const struct ledger *l, uint32_t length, struct chunk *hole);

/*@ requires \valid_read(l) && \valid(hole) && \separated(l, hole) && length > 0;
    assigns *hole;
    ensures \result ==> hole(hole->start, hole->length) && hole->length >= length;
    ensures \result ==> \forall integer s, n; hole(s, n) ==>
      n < hole->length || (hole->length == n && hole->start <= s);
    ensures !\result ==> \forall integer s, n; hole(s, n) ==> n < length; */
static bool worst_hole(const struct ledger *l, uint32_t length, struct chunk *hole);

/*@ requires \valid_read(l) && \valid_read(hole);
    assigns \nothing;
    ensures \result <==> hole->start >= l->b.top || hole->length < length; */
static bool is_no_hole(const struct ledger *l, const struct chunk *hole, uint32_t length);

/*@ requires \valid_read(l) && \valid_read(hole) && sane(l) && length <= hole->length;
    assigns \nothing;
    ensures \result ==> l->b.top <= left(l, count(l) + 1, BTREE_COST) ||
      (hole->length - length) * 16 + 15 < TWO_32; */
static bool can_take(const struct ledger *l, const struct chunk *hole, uint32_t length);

/* The choice. The two orders agree in a whole ledger; `whole` says so. */
/*@ predicate whole(struct ledger *l) = \forall integer s, n;
      (hole(s, n) <==> is_free(s, n)) && (hole(s, n) ==> s < l->b.top);
    predicate is_choice(integer top, integer tail, integer s, integer n) =
      hole(s, n) || (s == top && n == tail);

    // Whether [start, + length) is one of the free chunks; and the shortest that has n granules,
    // the longest, or the first that has n.
    predicate is_best(integer top, integer tail, integer start, integer length, integer n) =
      \forall integer s, m; is_choice(top, tail, s, m) && m >= n ==>
        length < m || (length == m && start <= s);
    predicate is_worst(integer top, integer tail, integer start, integer length) =
      \forall integer s, m; is_choice(top, tail, s, m) ==>
        m < length || (length == m && start <= s);
    predicate is_first(integer top, integer tail, integer start, integer n) =
      \forall integer s, m; is_choice(top, tail, s, m) && m >= n ==> start <= s; */

/*@ requires \valid_read(l) && \valid(chosen) && \separated(l, chosen) && sane(l);
    requires length > 0 && FIT_BEST <= fit <= FIT_ANY;
    assigns *chosen;
    ensures \result ==> chosen->length >= length;
    ensures \result && \old(whole(l)) ==>
      is_choice(\old(l->b.top), \old(tail(l)), chosen->start, chosen->length);
    ensures \result && \old(whole(l)) && (fit == FIT_BEST || fit == FIT_ANY) ==>
      is_best(\old(l->b.top), \old(tail(l)), chosen->start, chosen->length, length);
    ensures \result && \old(whole(l)) && fit == FIT_WORST ==>
      is_worst(\old(l->b.top), \old(tail(l)), chosen->start, chosen->length);
    ensures \result && \old(whole(l)) && fit == FIT_FIRST ==>
      is_first(\old(l->b.top), \old(tail(l)), chosen->start, length); */
bool ledger_choose(const struct ledger *l, uint32_t length, enum fit fit, struct chunk *chosen);

/*@ requires \valid_read(c);
    assigns \nothing;
    ensures \result <==> c->state == 0 || c->state == CHUNK_RESERVED ||
      c->state - 1 <= c->length * 16; */
static bool has_so_much(const struct chunk *c);

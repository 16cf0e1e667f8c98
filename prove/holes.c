/* SPDX-License-Identifier: MIT
 *
 * holes.c - a hole is cut in two, and a chunk that is freed becomes one with its free neighbours.
 *
 * Proves: note_most, seek, size_insert, size_remove, is_hole, take_from_hole, take_from_tail,
 *     chunk_split, joined. */
#include "model.h"
#include "conversions.h"
#include "shifts.h"

/* The words of the two sequences: the ghost of what btree_insert, btree_remove and btree_update
 * change. */
static unsigned words;

#include "ledger/ledger.c"

#include "base.h"
#include "btree.h"
#include "room.h"

/* --- what the B+ tree promises (btree.h) --- */

/* has: whether a sequence has a word. at: the word at a cursor. */
/*@ axiomatic Sequences {
      predicate has(integer order, integer word) reads words;
      logic integer word_in(uint64_t *place, integer index) reads words;
    }
    logic integer at(struct cursor *c) = word_in(c->step[0].word, c->step[0].index);
    predicate is_at(struct cursor *c, integer order, integer key) =
      has(order, at(c)) && at(c) <= key &&
      \forall integer w; has(order, w) && w <= key ==> w <= at(c);
    // No chunk begins between that of a word and a granule, which is at the top or below.
    predicate reaches(integer word, integer end, integer top) = end <= top &&
      \forall integer w; has(BY_ADDRESS, w) && w > word ==> w / TWO_32 >= end; */

/*@ requires \valid_read(b) && \valid(c);
    assigns *c;
    ensures c->order == order;
    ensures \result <==> c->step[0].index != BEFORE_FIRST;
    ensures \result ==> is_at(c, order, key);
    ensures !\result ==> \forall integer w; has(order, w) ==> w > key; */
bool btree_floor(const struct btree *b, enum order order, uint64_t key, struct cursor *c);

/*@ requires \valid_read(b) && \valid(c);
    assigns *c;
    ensures c->order == order; */
bool btree_last(const struct btree *b, enum order order, struct cursor *c);

/*@ requires \valid_read(c) && c->step[0].index != BEFORE_FIRST;
    assigns \nothing;
    ensures \result == at(c); */
static inline uint64_t cursor_word(const struct cursor *c);

/*@ requires \valid_read(b) && \valid_read(c) && c->order == BY_ADDRESS;
    assigns \nothing;
    ensures \result <= b->top ==> reaches(at(c), \result, b->top); */
uint32_t btree_chunk_end(const struct btree *b, const struct cursor *c);

/*@ requires \valid(b) && \valid(c) && (c->order == BY_ADDRESS || c->order == BY_SIZE);
    assigns b->nnodes, b->tree[0 .. 1], b->sum, *c, words;
    ensures \forall integer o, w; has(o, w) <==>
      \old(has(o, w)) || (o == \old(c->order) && w == word);
    ensures \old(c->order) == BY_ADDRESS && \old(b->tree[BY_ADDRESS].nwords) < 0xffffffff ==>
      b->tree[BY_ADDRESS].nwords == \old(b->tree[BY_ADDRESS].nwords) + 1;
    ensures \old(c->order) == BY_SIZE ==>
      b->tree[BY_ADDRESS].nwords == \old(b->tree[BY_ADDRESS].nwords); */
void btree_insert(struct btree *b, struct cursor *c, uint64_t word);

/*@ requires \valid(b) && \valid(c) && c->step[0].index != BEFORE_FIRST;
    requires c->order == BY_ADDRESS || c->order == BY_SIZE;
    assigns b->nnodes, b->tree[0 .. 1], b->sum, *c, words;
    ensures \forall integer o, w; has(o, w) <==>
      \old(has(o, w)) && !(o == \old(c->order) && w == \old(at(c)));
    ensures \old(c->order) == BY_SIZE ==>
      b->tree[BY_ADDRESS].nwords == \old(b->tree[BY_ADDRESS].nwords); */
void btree_remove(struct btree *b, struct cursor *c);

/*@ requires \valid(b) && \valid(c) && c->step[0].index != BEFORE_FIRST;
    requires at(c) / TWO_32 == word / TWO_32; // it sorts in the same place
    assigns b->sum, words;
    ensures \forall integer o, w; has(o, w) <==> (o == c->order && w == word) ||
      (\old(has(o, w)) && !(o == c->order && w == \old(at(c))));
    ensures at(c) == word; */
void btree_update(struct btree *b, struct cursor *c, uint64_t word);

/*@ requires \valid(l);
    assigns l->most;
    ensures l->most == (count(l) > \old(l->most) ? count(l) : \old(l->most)); */
static void note_most(struct ledger *l);

/* --- the order by size --- */

/*@ logic integer hole(integer length, integer start) = length * TWO_32 + start;
    logic integer record(integer start, integer state) = start * TWO_32 + state; */

/*@ requires \valid(l);
    assigns l->b.nnodes, l->b.tree[0 .. 1], l->b.sum, words;
    ensures \forall integer o, w; has(o, w) <==>
      \old(has(o, w)) || (o == BY_SIZE && w == hole(length, start));
    ensures count(l) == \old(count(l)); */
static void size_insert(struct ledger *l, uint32_t length, uint32_t start);

/*@ requires \valid(l);
    assigns l->b.nnodes, l->b.tree[0 .. 1], l->b.sum, words;
    ensures \forall integer o, w; has(o, w) <==>
      \old(has(o, w)) && !(o == BY_SIZE && w == hole(length, start));
    ensures count(l) == \old(count(l)); */
static void size_remove(struct ledger *l, uint32_t length, uint32_t start);

/* --- cutting a hole --- */

/*@ requires \valid_read(l) && \valid(c) && \separated(l, c);
    assigns *c;
    ensures c->order == BY_ADDRESS;
    ensures \result <==> c->step[0].index != BEFORE_FIRST;
    ensures \result ==> is_at(c, BY_ADDRESS, record(granule, 0xffffffff)); */
static bool seek(const struct ledger *l, uint32_t granule, struct cursor *c);

/* Whether the hole that the order by size has named is a free chunk by address, too [LG5]. */
/*@ predicate is_free_chunk(struct ledger *l, integer start, integer length) =
      has(BY_ADDRESS, record(start, 0)) && reaches(record(start, 0), start + length, l->b.top); */

/*@ requires \valid_read(l) && \valid_read(c) && \valid(at) && \separated(l, c, at);
    requires c->start < l->b.top;
    assigns *at;
    ensures \result ==> is_free_chunk(l, c->start, c->length);
    ensures \result ==> at->order == BY_ADDRESS && at->step[0].index != BEFORE_FIRST &&
      at(at) == record(c->start, 0); */
static bool is_hole(const struct ledger *l, const struct chunk *c, struct cursor *at);

/* [------ free ------] => [this][--- free ---], or all of it is taken, if there is no room for a
 * record of the rest. Both orders say so, and no other record changes. Nothing is taken where no
 * free chunk begins; is_hole looks how far it reaches. */
/*@ requires \valid(l) && \valid_read(from) && \separated(l, from);
    requires sane(l) && 0 < length <= from->length && from->start < l->b.top;
    // What ledger_choose has seen to: if all of the hole is taken, 32 bits can say the slack.
    requires slack < CHUNK_RESERVED && (slack == LEDGER_RESERVED ||
      l->b.top <= left(l, count(l) + 1, BTREE_COST) ||
      slack + (from->length - length) * 16 < LEDGER_RESERVED);
    assigns l->b.nnodes, l->b.tree[0 .. 1], l->b.sum, l->most, words;
    ensures \result != 0 ==> \old(has(BY_ADDRESS, record(from->start, 0)));
    ensures \result == 0 || \result == length || \result == from->length;
    ensures \result == 0 ==>
      \forall integer w; has(BY_ADDRESS, w) <==> \old(has(BY_ADDRESS, w));
    ensures \result != 0 ==> \forall integer w; w / TWO_32 != from->start &&
      w / TWO_32 != from->start + \result ==>
      (has(BY_ADDRESS, w) <==> \old(has(BY_ADDRESS, w)));
    ensures \result != 0 ==> !has(BY_ADDRESS, record(from->start, 0));
    // Where all of the hole is taken instead, the rest is slack.
    ensures \result != 0 ==> has(BY_ADDRESS, record(from->start, slack + 1 +
      (slack == LEDGER_RESERVED ? 0 : (\result - length) * 16)));
    ensures 0 < \result < from->length ==> l->most >= count(l);
    ensures 0 < \result < from->length ==> has(BY_ADDRESS, record(from->start + \result, 0));
    ensures \result != 0 ==> \forall integer w; has(BY_SIZE, w) <==>
      (\old(has(BY_SIZE, w)) && w != hole(from->length, from->start)) ||
      (\result < from->length && w == hole(from->length - \result, from->start + \result)); */
static uint32_t take_from_hole(struct ledger *l, const struct chunk *from, uint32_t length,
                               uint32_t slack);

/* [live][------ tail ------] => [live][this][--- tail ---]: one record more, at the old top. */
/*@ requires \valid(l) && sane(l) && length > 0 && slack < CHUNK_RESERVED;
    requires l->b.top <= l->high <= l->used; // LG4
    requires l->b.top + length <= left(l, count(l) + 1, BTREE_COST); // what ledger_tail said
    assigns l->b, l->high, l->used, l->most, words;
    ensures l->b.top == \old(l->b.top) + length && l->b.top <= l->high <= l->used;
    ensures l->high >= \old(l->high) && l->used >= \old(l->used) && l->most >= count(l);
    ensures \forall integer o, w; has(o, w) <==>
      \old(has(o, w)) || (o == BY_ADDRESS && w == record(\old(l->b.top), slack + 1)); */
static void take_from_tail(struct ledger *l, uint32_t length, uint32_t slack);

/* [------ this, live ------] => [this][that, live too]: one record more. */
/*@ requires \valid(l) && sane(l) && start < at && slack < CHUNK_RESERVED;
    requires l->b.top <= left(l, count(l) + 1, BTREE_COST);
    assigns l->b, l->most, words;
    ensures l->most >= count(l);
    ensures \forall integer o, w; has(o, w) <==>
      \old(has(o, w)) || (o == BY_ADDRESS && w == record(at, slack + 1)); */
static void chunk_split(struct ledger *l, uint32_t start, uint32_t at, uint32_t slack);

/* --- freeing a chunk --- */

/* The hole reaches from the lower end of the chunk, or of a free neighbour below, to the upper end
 * of the chunk, or of a free neighbour above: nothing is lost, and nothing else is in it [LG1]. */
/*@ requires left.state == 0 ==> left.start + left.length == this.start;
    requires right.state == 0 ==> this.start + this.length == right.start &&
      right.start + right.length < TWO_32;
    requires this.start + this.length < TWO_32;
    assigns \nothing;
    ensures \result.state == 0;
    ensures \result.start == (left.state == 0 ? left.start : this.start);
    ensures \result.start + \result.length ==
      (right.state == 0 ? right.start + right.length : this.start + this.length); */
static struct chunk joined(struct chunk left, struct chunk this, struct chunk right);

/* SPDX-License-Identifier: MIT
 *
 * room.h - how much room the records of a ledger leave for chunks [LG3]; ledger.c proves it.
 */

/* Of a heap without guard pages. */
/*@ predicate sane(struct ledger *l) =
      l->nbytes <= 0x1000000000 && l->nbytes % 16 == 0 && l->guard.page == 0;

    // What n records leave for chunks, if each has `cost` bytes.
    logic integer left(struct ledger *l, integer n, integer cost) =
      n * cost < l->nbytes ? (l->nbytes - n * cost) / 16 : 0;
    logic integer count(struct ledger *l) = l->b.tree[BY_ADDRESS].nwords; */

/*@ requires \valid_read(l);
    assigns \nothing;
    ensures \result == count(l); */
RACING static uint64_t nchunks(const struct ledger *l);

/*@ requires \valid_read(l) && sane(l) && 0 < nrecords <= 0x100000010;
    requires cost == BTREE_COST || cost == CHUNK_COST;
    assigns \nothing;
    ensures \result == left(l, nrecords, cost);
    ensures \result > 0 ==> \result * 16 + nrecords * cost <= l->nbytes; */
RACING static uint32_t granules_left(const struct ledger *l, uint64_t nrecords, uint64_t cost);

/*@ requires \valid_read(l) && sane(l) && 0 < count(l) + nmore <= 0x100000010;
    assigns \nothing;
    ensures \result <==> l->b.top <= left(l, count(l) + nmore, BTREE_COST);
    ensures \result && l->b.top > 0 ==>
      l->b.top * 16 + (count(l) + nmore) * BTREE_COST <= l->nbytes; // LG3
    */
static bool has_room(const struct ledger *l, uint64_t nmore);

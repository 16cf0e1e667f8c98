/* SPDX-License-Identifier: MIT
 *
 * heap.c - a free gives an object back only if the judge says that the address is in one.
 *
 * Proves: spans_find, granules_for, slack_for, judge_slot, judge_chunk, judge_locked, any_address,
 *     chunks_give_back, give_chunk_back_locked, give_back_locked, free_locked,
 *     heap_free_locked. */
#include "model.h"
#include "conversions.h"

/* How many objects were given back: the ghost of what spans_free and ledger_give_back do. */
static unsigned ngiven_back;

#include "core/heap.c"

#include "base.h"

/* --- what other modules promise --- */

/*@ requires \valid_read(s) && \valid(slot);
    assigns *slot;
    ensures \result && slot->is_object ==> !slot->is_metadata && slot->slack <= slot->bytes; */
bool spans_find_slot(const struct spans *s, size_t offset, struct slot *slot);

/*@ requires \valid_read(s) && \valid(slot) && \separated(s, slot);
    assigns *slot;
    ensures \result && slot->is_object ==> !slot->is_metadata && slot->slack <= slot->bytes; */
static inline bool spans_find(const struct spans *s, size_t offset, struct slot *slot);

/*@ requires \valid_read(l) && \valid(p);
    assigns *p;
    ensures \result ==> p->chunk.start <= granule && granule - p->chunk.start < p->chunk.length;
    ensures \result ==> p->changes == l->changes;
    ensures \result ==> p->chunk.state == 0 || p->chunk.state == CHUNK_RESERVED ||
      p->chunk.state - 1 <= p->chunk.length * 16; // LG5
    */
bool ledger_find_place(const struct ledger *l, uint32_t granule, struct ledger_place *p);

/*@ requires slot->is_object && !slot->is_metadata;
    assigns *s, ngiven_back;
    ensures ngiven_back == (unsigned)(\old(ngiven_back) + 1); */
void spans_free(struct spans *s, const struct slot *slot);

/*@ requires p->chunk.state != 0 && p->chunk.state != CHUNK_RESERVED;
    assigns *l, ngiven_back;
    ensures ngiven_back == (unsigned)(\old(ngiven_back) + 1); */
void ledger_give_back(struct ledger *l, const struct ledger_place *p);

/*@ assigns *spot; */
void freelist_look(const struct freelist *f, uint32_t start, uint32_t end,
                   struct freelist_spot *spot);

/*@ assigns \nothing; */
void freelist_given(const struct freelist *f, const struct freelist_spot *spot, uint32_t end);

/* --- sizes --- */

/*@ logic integer granules(integer nbytes) = nbytes == 0 ? 1 : ceil(nbytes, 16); */

/*@ assigns \nothing;
    ensures granules(nbytes) < TWO_32 ==> \result == granules(nbytes);
    ensures granules(nbytes) >= TWO_32 ==> \result == 0; */
static uint32_t granules_for(size_t nbytes);

/*@ requires granules(nbytes) < TWO_32;
    assigns \nothing;
    ensures nbytes + \result == 16 * granules(nbytes);
    ensures \result <= 16; */
static uint32_t slack_for(size_t nbytes);

/* --- the judge --- */

/*@ requires \valid_read(slot) && \valid(found) && \separated(slot, found);
    requires slot->is_object ==> slot->slack <= slot->bytes;
    assigns *found;
    ensures slot->is_object ==> \result == HEAP_INSIDE && found->size == slot->bytes - slot->slack;
    ensures !slot->is_object && slot->is_metadata ==> \result == HEAP_NO_OBJECT;
    ensures !slot->is_object && !slot->is_metadata ==> \result == HEAP_FREE; */
static enum heap_result judge_slot(const void *address, const struct slot *slot,
                                   struct object *found);

/*@ requires \valid_read(h) && \valid_read(c) && \valid(found);
    requires c->state == 0 || c->state == CHUNK_RESERVED || c->state - 1 <= c->length * 16;
    requires \separated(h, found) && \separated(c, found);
    assigns *found;
    ensures c->state == 0 ==> \result == HEAP_FREE;
    ensures c->state == CHUNK_RESERVED ==> \result == HEAP_NO_OBJECT;
    ensures 0 < c->state < CHUNK_RESERVED && c->state - 1 <= c->length * 16 ==>
      \result == HEAP_INSIDE && found->size == c->length * 16 - (c->state - 1); */
static enum heap_result judge_chunk(const struct heap *h, const struct chunk *c,
                                    struct object *found);

/*@ requires \valid_read(r);
    assigns \nothing; */
RACING static inline size_t region_offset(const struct region *r, const void *address);

/*@ requires \valid_read(c);
    assigns \nothing; */
RACING static inline bool chunks_gave_up(const struct chunks *c, size_t offset);

/*@ requires \valid_read(r);
    assigns \nothing; */
static inline void *region_at(const struct region *r, uint32_t granule);

/* What was found is a live object of the program: a slot that is one and is not the library's own,
 * or a chunk that is live and not a span or another table. */
/*@ predicate is_live(struct location *p) = p->in_span != 0
      ? p->slot.is_object != 0 && p->slot.is_metadata == 0
      : p->place.chunk.state != 0 && p->place.chunk.state != CHUNK_RESERVED; */

/*@ requires \valid_read(h) && \valid(p) && \valid(found);
    requires \separated(h, p, found);
    assigns *p, *found;
    ensures \result == HEAP_OK || \result == HEAP_INSIDE ==> is_live(p);
    ensures \result == HEAP_OK ==> found->start == address;
    ensures \result == HEAP_INSIDE ==> found->start != address;
    ensures \result == HEAP_OK || \result == HEAP_INSIDE || \result == HEAP_NOT_OURS ||
      \result == HEAP_NO_OBJECT || \result == HEAP_FREE || \result == HEAP_DAMAGED; */
static enum heap_result judge_locked(const struct heap *h, const void *address, struct location *p,
                                     struct object *found);

/*@ assigns \nothing;
    ensures result == HEAP_INSIDE ==> \result == HEAP_OK;
    ensures result != HEAP_INSIDE ==> \result == result; */
static enum heap_result any_address(enum heap_result result);

/*@ requires \valid(c) && \valid_read(p) && \separated(c, p);
    requires p->chunk.state != 0 && p->chunk.state != CHUNK_RESERVED;
    assigns c->ledger, ngiven_back;
    ensures ngiven_back == (unsigned)(\old(ngiven_back) + 1); */
static inline void chunks_give_back(struct chunks *c, const struct ledger_place *p);

/*@ requires \valid(h) && \valid_read(place) && \separated(h, place);
    requires place->chunk.state != 0 && place->chunk.state != CHUNK_RESERVED;
    assigns h->chunks.ledger, ngiven_back;
    ensures ngiven_back == (unsigned)(\old(ngiven_back) + 1); */
static void give_chunk_back_locked(struct heap *h, const struct ledger_place *place);

/*@ requires \valid(h) && \valid_read(p) && \separated(h, p);
    requires is_live(p);
    assigns h->spans, h->is_swept, h->chunks.ledger, ngiven_back;
    ensures ngiven_back == (unsigned)(\old(ngiven_back) + 1); */
INLINED void give_back_locked(struct heap *h, const struct location *p);

/* Pages and numbers of a statistic: no object. */
/*@ assigns *h; */
INLINED void trim_if_time_locked(struct heap *h);

/*@ assigns *h; */
static void count_freed_locked(struct heap *h, size_t nbytes);

/* One object is given back if the result is HEAP_OK, and else none. With `exact`, that is so only
 * if the object begins at the address. */
/*@ requires \valid(h) && \valid(found) && \separated(h, found);
    assigns *h, *found, ngiven_back;
    ensures \result == HEAP_OK ==> ngiven_back == (unsigned)(\old(ngiven_back) + 1);
    ensures \result != HEAP_OK ==> ngiven_back == \old(ngiven_back);
    ensures \result == HEAP_OK && exact ==> found->start == address; */
INLINED enum heap_result free_locked(struct heap *h, const void *address, bool exact,
                                     struct object *found);

/* An object is freed through these, so the promise holds for all calls. */
/*@ requires \valid(h) && \valid(found) && \separated(h, found);
    assigns *h, *found, ngiven_back;
    ensures \result == HEAP_OK ==> ngiven_back == (unsigned)(\old(ngiven_back) + 1);
    ensures \result != HEAP_OK ==> ngiven_back == \old(ngiven_back); */
enum heap_result heap_free_locked(struct heap *h, const void *address, bool exact,
                                  struct object *found);

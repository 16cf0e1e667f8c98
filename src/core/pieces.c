/* SPDX-License-Identifier: MIT
 *
 * pieces.c - walks a region from its first byte to the ledger: for dumps, statistics and
 * checks. Invariants: pieces.h.
 *
 * In this order: one piece, walking on after changes, the tally, the check.
 */
#include "core/pieces.h"

/* --- one piece ----------------------------------------------------------------- */

/* Fills in the piece that a slot is. What is left over behind the last slot is metadata, since
 * no object can have it. */
static void judge_slot_piece(const struct slot *slot, struct piece *p)
{
    assert(slot->bytes > 0); /* or a walk never ends */
    p->nbytes = slot->bytes;
    p->kind = slot->is_object                      ? PIECE_OBJECT
              : slot->is_metadata || slot->is_rest ? PIECE_METADATA
                                                   : PIECE_FREE_SLOT;
    p->size = slot->is_object ? slot->bytes - slot->slack : 0;
}

/* The chunk around an offset; false if there is none. */
static bool chunk_at_locked(const struct heap *h, size_t offset, struct chunk *c)
{
    return h->chunks.region.base != NULL &&
           ledger_find(&h->chunks.ledger, (uint32_t)(offset / GRANULE_BYTES), c);
}

/* Returns how many bytes into the region the chunk ends. */
static size_t chunk_end(const struct chunk *c)
{
    return ((size_t)c->start + c->length) * GRANULE_BYTES;
}

/* Says what begins at `offset` in chunk `c`, which is either the chunk itself or, if it is
 * reserved, a slot in it; what of that is neither (the map, or what is left over behind the
 * slots) is one piece of metadata. Returns false if the ledger contradicts itself. */
static bool judge_piece_locked(const struct heap *h, const struct chunk *c, size_t offset,
                               struct piece *p)
{
    struct slot slot;
    assert(offset >= (size_t)c->start * GRANULE_BYTES && offset < chunk_end(c));
    size_t rest = chunk_end(c) - offset;
    unsigned char *start = h->chunks.region.base + offset;
    *p = (struct piece){.start = start, .nbytes = rest, .kind = PIECE_METADATA};
    if (c->state == CHUNK_RESERVED) {
        if (spans_find(&h->spans, offset, &slot) && slot.bytes <= rest)
            judge_slot_piece(&slot, p);
        return true;
    }
    p->kind = c->state == 0 ? PIECE_FREE : PIECE_OBJECT;
    p->size = c->state == 0 ? 0 : p->nbytes - (c->state - 1);
    bool begins = (size_t)c->start * GRANULE_BYTES == offset;
    assert(!begins || p->size <= p->nbytes); /* else the ledger does not find the chunk [LG5] */
    return begins;
}

/* Each call searches the ledger and, in a span, the page map. So a walk may be left and taken up
 * again anywhere, at the price of O(log n) for each piece. */
bool heap_piece_locked(const struct heap *h, size_t offset, struct piece *p)
{
    struct chunk c;
    return chunk_at_locked(h, offset, &c) && judge_piece_locked(h, &c, offset, p);
}

/* Below the top, something always begins [LG1]; the tail, which may be empty, begins there. */
bool heap_ends_locked(const struct heap *h, size_t offset)
{
    return offset / GRANULE_BYTES >= h->chunks.ledger.b.top;
}

/* --- walking on after changes -------------------------------------------------- */

/* Returns where the next piece begins, if `offset` has come to lie inside one: the end of a live
 * chunk or of a slot. Returns `offset` itself if a slot begins there, or the rest of a span. */
static size_t skip_locked(const struct heap *h, const struct chunk *c, size_t offset)
{
    struct slot slot;
    if (c->state != CHUNK_RESERVED)
        return chunk_end(c);
    if (!spans_find(&h->spans, offset, &slot) || slot.into == 0)
        return offset;
    size_t next = offset + slot.bytes - slot.into;
    assert(next > offset); /* or a walk never ends */
    return next < chunk_end(c) ? next : chunk_end(c);
}

/* While the lock was away, what began at *offset may have joined the free chunk before it, or a
 * new object may reach across:
 *
 *     before    [ seen ][ seen ]|[ next ]...
 *     now       [ seen ][---- object ----]|...      the object began in what was seen: skip it
 *     or        [ seen ][------ free ------]...     what is left of it is a piece */
bool heap_piece_from_locked(const struct heap *h, size_t *offset, struct piece *p)
{
    struct chunk c;
    while (chunk_at_locked(h, *offset, &c)) {
        uint32_t before = (uint32_t)(*offset / GRANULE_BYTES) - c.start;
        if (c.state == 0) /* [ seen | rest of the free chunk ]: the rest alone is a piece */
            c = (struct chunk){c.start + before, c.length - before, 0};
        bool begins = before == 0 || c.state == 0;
        size_t next = begins ? *offset : skip_locked(h, &c, *offset);
        if (next == *offset)
            return judge_piece_locked(h, &c, *offset, p);
        *offset = next;
    }
    return false;
}

/* --- the tally ----------------------------------------------------------------- */

/* Each piece is counted once, with all of its bytes: so objects, slack, free memory and metadata
 * add up to the region below the tail's end. */
void tally_piece(struct pieces_tally *t, const struct piece *p)
{
    assert(p->nbytes > 0 && p->size <= p->nbytes);
    assert(p->size == 0 || p->kind == PIECE_OBJECT); /* only objects were asked for */
    switch (p->kind) {
    case PIECE_OBJECT:
        t->nobjects++;
        t->object_bytes += p->size;
        t->slack_bytes += p->nbytes - p->size;
        break;
    case PIECE_FREE:
        t->nfree_chunks++;
        t->free_chunk_bytes += p->nbytes;
        t->largest_free = p->nbytes > t->largest_free ? p->nbytes : t->largest_free;
        break;
    case PIECE_FREE_SLOT:
        t->nfree_slots++;
        t->free_slot_bytes += p->nbytes;
        break;
    case PIECE_METADATA:
        t->metadata_bytes += p->nbytes;
        break;
    }
}

/* Asks the ledger once for a chunk, not for each slot in it: a span of 4,096 slots is one chunk.
 *
 *     [ object ][ free ][slot|slot|slot|...|rest][ object ][ tail ]
 *      chunk     chunk   chunk, many pieces       chunk     not a record
 */
bool tally_heap_locked(struct pieces_tally *t, const struct heap *h)
{
    struct piece p;
    struct chunk c;
    size_t at = 0;
    t->region_bytes += h->chunks.region.nbytes;
    if (h->chunks.region.base == NULL)
        return true;
    t->ledger_bytes += ledger_nbytes(&h->chunks.ledger);
    while (chunk_at_locked(h, at, &c))
        for (; at < chunk_end(&c); at += p.nbytes) {
            if (!judge_piece_locked(h, &c, at, &p))
                return false;
            tally_piece(t, &p);
        }
    return heap_ends_locked(h, at);
}

struct pieces_tally tally_heap(struct heap *h)
{
    struct pieces_tally t = {0};
    heap_lock(h);
    (void)tally_heap_locked(&t, h); /* of a damaged heap: as far as it can be read */
    heap_unlock(h);
    return t;
}

/* --- the check ----------------------------------------------------------------- */

/* The ledger comes first: spans trust it to say where they are. */
const char *check_given_locked(const struct heap *h, ptrdiff_t moved, struct recount *n)
{
    *n = (struct recount){0};
    const char *fault = ledger_fault(&h->chunks.ledger, n);
    return fault != NULL ? fault : spans_fault(&h->spans, moved, h->has_tcaches, n);
}

/* What is given comes first: all that follows is compared with it. Where threads have caches, or
 * had them until heap_count_locked took them away, steps of countdowns may be lost [SP5]. */
const char *check_fault_locked(const struct heap *h, struct recount *n)
{
    const char *fault = check_given_locked(h, 0, n);
    bool had_tcaches = h->has_tcaches || h->counters != NULL;
    return fault != NULL ? fault : spans_links_fault(&h->spans, had_tcaches);
}

/* Only a ledger that is right can say what the nodes of the free list have to be. */
enum heap_result check_heap_locked(const struct heap *h)
{
    struct recount n;
    if (h->chunks.region.base == NULL)
        return HEAP_NO_REGION;
    if (check_fault_locked(h, &n) != NULL)
        return HEAP_DAMAGED;
    bool damaged = h->chunks.list.head != NULL && freelist_mend_all(&h->chunks.list) > 0;
    return damaged ? HEAP_LIST_DAMAGED : HEAP_OK;
}

/* Other threads wait, except those with caches: their slots are counted as they are found. */
enum heap_result check_heap(struct heap *h)
{
    heap_lock(h);
    enum heap_result result = check_heap_locked(h);
    heap_unlock(h);
    return result;
}

/* SPDX-License-Identifier: MIT
 *
 * usage.c - adds up how much of a heap is open, used and free. Invariants: usage.h.
 */
#include "core/usage.h"

static size_t bytes_of(uint32_t ngranules)
{
    return (size_t)ngranules * GRANULE_BYTES;
}

/* Returns the open memory of the tail, which ends where the gap or the guard begins. */
static size_t tail_open_bytes(const struct ledger *l)
{
    struct chunk tail = ledger_tail(l);
    uint32_t end = tail.start + tail.length;
    if (l->guard.high != 0)
        end = least(end, l->guard.low);
    return end > tail.start ? bytes_of(end - tail.start) : 0;
}

/* Holes, and the tail. */
static void add_free_chunks(const struct ledger *l, struct usage *u)
{
    size_t tail = tail_open_bytes(l);
    assert(l->live_granules <= l->b.top); /* LG1: what of it is not live is holes */
    u->nfree_chunks = l->b.tree[BY_SIZE].nwords + (tail > 0);
    u->free_chunk_bytes = bytes_of(l->b.top - l->live_granules) + tail;
}

/* Everything but the slots, at one moment. */
static void usage_of_chunks_locked(const struct heap *h, struct usage *u)
{
    const struct ledger *l = &h->chunks.ledger;
    const struct unwritten *unwritten = &h->chunks.unwritten;
    uint32_t gap = l->guard.high == 0 ? 0 : l->guard.high - l->guard.low;
    u->reserved_bytes = h->chunks.region.nbytes;
    u->open_bytes = u->reserved_bytes - bytes_of(gap) - bytes_of(unwritten->to - unwritten->from);
    add_free_chunks(l, u);
    /* What is live are objects, spans and the page map. */
    size_t own = bytes_of(pagemap_granules(&h->spans)) + h->spans.nheld * slice_bytes(&h->spans);
    assert(own <= bytes_of(l->live_granules));
    u->live_bytes = bytes_of(l->live_granules) - own;
    u->trimmable_bytes = bytes_of(l->ndirty);
}

/* The lock is let go of after each part of the page map, so that no call waits for the whole of it;
 * spans that are made or go meanwhile may be counted or not. What is left is counted at the end, in
 * one moment. */
struct usage heap_usage(struct heap *h)
{
    enum { AT_ONCE = 256 }; /* entries of the page map, a cache line each */
    struct usage u = {0};
    bool more = true;
    while (more) {
        heap_lock(h);
        more = h->chunks.region.base != NULL && spans_tally(&h->spans, &u.slots, AT_ONCE);
        if (!more && h->chunks.region.base != NULL)
            usage_of_chunks_locked(h, &u);
        heap_unlock(h);
    }
    u.live_bytes += u.slots.live_bytes;
    u.free_bytes = u.free_chunk_bytes + u.slots.free_bytes;
    u.trimmable_bytes += u.slots.idle_bytes; /* ndirty is an estimate */
    u.trimmable_bytes = u.trimmable_bytes < u.free_bytes ? u.trimmable_bytes : u.free_bytes;
    return u;
}

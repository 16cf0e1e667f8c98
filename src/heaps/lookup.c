/* SPDX-License-Identifier: MIT */
#include "heaps/lookup.h"

RACING static enum peek judge(const struct chunk *c, unsigned char *base, size_t offset,
                              struct peeked *p)
{
    size_t start = (size_t)c->start * GRANULE_BYTES;
    p->start = base + start;
    p->size = (size_t)c->length * GRANULE_BYTES;
    if (c->length == 0 || c->state == CHUNK_RESERVED)
        return PEEK_NO_OBJECT;
    if (c->state == 0)
        return PEEK_FREE;
    p->size -= c->state - 1;
    return offset - start < p->size || offset == start ? PEEK_OBJECT : PEEK_NO_OBJECT;
}

RACING enum peek peek_ledger(const struct ledger *l, unsigned char *base, size_t offset,
                             struct peeked *p)
{
    struct chunk c;
    uint32_t seen = changes_seen(&l->changes);
    if (seen % 2 != 0)
        return PEEK_CHANGING; /* and the fence may be moving to where one would look */
    bool sound = ledger_peek(l, (uint32_t)(offset / GRANULE_BYTES), &c);
    if (!is_unchanged(&l->changes, seen))
        return PEEK_CHANGING;
    return sound ? judge(&c, base, offset, p) : PEEK_NONSENSE;
}

/* In no span: but one may have been made by the time that the ledger is asked. */
RACING enum peek peek_heap(const struct heap *h, const void *address, struct peeked *p)
{
    const struct region *r = &h->chunks.region;
    size_t offset = region_offset(r, address);
    if (offset >= r->nbytes)
        return PEEK_OUTSIDE;
    uint32_t seen = changes_seen(&h->spans.changes);
    enum peek what = peek_slot(h, (uintptr_t)address, p);
    if (what != PEEK_NO_SLOT)
        return what;
    what = peek_ledger(&h->chunks.ledger, r->base, offset, p);
    return is_unchanged(&h->spans.changes, seen) ? what : PEEK_CHANGING;
}

/* What has no entry, and the last 64 KiB, are as good as outside: then what begins inside
 * may be followed as far as a byte of a block can be. */
RACING bool peek_spans(const struct heap *h, struct peeked_spans *to)
{
    const struct region *r = &h->chunks.region;
    const struct spans *s = &h->spans;
    uintptr_t unit = (uintptr_t)1 << s->unit_shift;
    *to = (struct peeked_spans){.mask = (uint32_t)(unit - 1),
                                .shift = s->unit_shift,
                                .seen = changes_seen(&s->changes),
                                .changes = &s->changes,
                                .base = (uintptr_t)r->base & ~(unit - 1)};
    size_t map = (size_t)NOW(s->map) * GRANULE_BYTES + QUEUES_BYTES, nunits = NOW(s->nclear);
    if (NOW(s->nheld) == 0 || map + nunits * sizeof(struct span) > r->nbytes)
        return false;
    to->nbytes = (uintptr_t)r->base + r->nbytes - to->base;
    if (nunits << s->unit_shift < to->nbytes)
        to->nbytes = nunits << s->unit_shift;
    to->map = (const struct span *)(const void *)(r->base + map);
    if (to->nbytes <= UNIT_BYTES || !is_unchanged(&s->changes, to->seen))
        return false;
    to->nbytes -= UNIT_BYTES;
    return true;
}

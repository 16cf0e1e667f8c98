/* SPDX-License-Identifier: MIT */
#include "heaps/lookup.h"

RACING static enum heap_result judge(const struct chunk *c, unsigned char *base, size_t offset,
                                     struct lookup_result *p)
{
    size_t start = (size_t)c->start * GRANULE_BYTES;
    p->start = base + start;
    p->size = (size_t)c->length * GRANULE_BYTES;
    if (c->length == 0 || c->state == CHUNK_RESERVED)
        return HEAP_NO_OBJECT;
    if (c->state == 0)
        return HEAP_FREE;
    p->size -= c->state - 1;
    return offset - start < p->size || offset == start ? HEAP_OK : HEAP_NO_OBJECT;
}

RACING enum heap_result lookup_ledger(const struct ledger *l, unsigned char *base, size_t offset,
                                      struct lookup_result *p)
{
    struct chunk c;
    uint32_t seen = changes_seen(&l->changes);
    if (seen % 2 != 0)
        return HEAP_CHANGING; /* and the fence may be moving to where one would look */
    bool sound = ledger_lookup(l, (uint32_t)(offset / GRANULE_BYTES), &c);
    if (!is_unchanged(&l->changes, seen))
        return HEAP_CHANGING;
    return sound ? judge(&c, base, offset, p) : HEAP_DAMAGED;
}

/* In no span: but one may have been made by the time that the ledger is asked. */
RACING enum heap_result lookup_heap(const struct heap *h, const void *address,
                                    struct lookup_result *p)
{
    const struct region *r = &h->chunks.region;
    size_t offset = region_offset(r, address);
    if (offset >= r->nbytes)
        return HEAP_NOT_OURS;
    uint32_t seen = changes_seen(&h->spans.changes);
    enum heap_result what = lookup_slot(h, (uintptr_t)address, p);
    if (what != HEAP_NOT_A_SLOT)
        return what;
    what = lookup_ledger(&h->chunks.ledger, r->base, offset, p);
    return is_unchanged(&h->spans.changes, seen) ? what : HEAP_CHANGING;
}

/* What has no entry, and the last 64 KiB, are as good as outside: then what begins inside
 * may be followed as far as a byte of a block can be. */
RACING bool lookup_view_open(const struct heap *h, struct lookup_view *to)
{
    const struct region *r = &h->chunks.region;
    const struct spans *s = &h->spans;
    uintptr_t slice = (uintptr_t)1 << s->slice_shift;
    *to = (struct lookup_view){.mask = (uint32_t)(slice - 1),
                               .shift = s->slice_shift,
                               .seen = changes_seen(&s->changes),
                               .changes = &s->changes,
                               .slots.base = (uintptr_t)r->base & ~(slice - 1)};
    size_t pagemap = (size_t)NOW(s->pagemap) * GRANULE_BYTES + QUEUES_BYTES,
           nslices = NOW(s->nclear);
    if (NOW(s->nheld) == 0 || pagemap + nslices * sizeof(struct span) > r->nbytes)
        return false;
    to->slots.nbytes = (uintptr_t)r->base + r->nbytes - to->slots.base;
    if (nslices << s->slice_shift < to->slots.nbytes)
        to->slots.nbytes = nslices << s->slice_shift;
    to->slots.pagemap = (struct span *)(void *)(r->base + pagemap);
    if (to->slots.nbytes <= SLICE_BYTES || !is_unchanged(&s->changes, to->seen))
        return false;
    to->slots.nbytes -= SLICE_BYTES;
    return true;
}

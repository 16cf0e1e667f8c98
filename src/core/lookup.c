/* SPDX-License-Identifier: MIT
 *
 * lookup.c - lookups in the spans and in the ledger of a heap; and the view that the shortest one,
 * lookup_object, goes by. Invariants: lookup.h.
 *
 *     address -> slice number -> entry of the page map -> `back` entries before that: its span
 *             -> (address - begin of the span) * reciprocal -> index -> state[index]
 *
 *     offset  -> granule -> the ledger's record at or below it -> chunk -> its state
 *
 * A value is read once, into a local variable, and then checked and used: read twice, it could be
 * right when it is checked and wrong when it is used. A wrong value can only lead to a wrong
 * answer, never out of the region, and the sequence count tells a wrong answer from a right one at
 * the end.
 */
#include "core/lookup.h"

#include "base/region.h"
#include "base/seqcount.h"
#include "ledger/ledger.h"
#include "slots/spans.h"

/* Returns the address of the first entry of the page map; if its place was damaged, any multiple of
 * an entry's bytes. */
RACING static uintptr_t entries_address(const struct region *r, const struct spans *s)
{
    uintptr_t address = (uintptr_t)r->base + (size_t)NOW(s->pagemap) * GRANULE_BYTES;
    return (address + QUEUES_BYTES) & ~(uintptr_t)(sizeof(struct span) - 1);
}

/* --- in a slot ------------------------------------------------------------------- */

/* Returns how many bytes at the end of an object are slack, of which its state is `state`. */
RACING static uint32_t lookup_slack(const unsigned char *states, uint32_t nslots, uint32_t index,
                                    uint32_t state)
{
    if (!state_is_far(state))
        return state_slack_near(state);
    return NOW(*far_slack((unsigned char *)(uintptr_t)states, nslots, index));
}

/* What an address is in the span that begins at `first` and has this entry of the page map. The
 * entry may hold anything: its state array has to lie where memory is open. HEAP_NOT_A_SLOT: there
 * is no span now. */
RACING static enum heap_result lookup_in_span(const struct heap *h, const struct span *span,
                                              uintptr_t first, uintptr_t address,
                                              struct lookup_result *p)
{
    uint32_t slot_bytes = NOW(span->slot_bytes), into = (uint32_t)(address - first);
    if (slot_bytes == 0)
        return HEAP_NOT_A_SLOT;
    uint32_t index = slot_of_inside(slot_bytes, into, NOW(span->reciprocal));
    uint32_t nslots = NOW(span->nslots);
    const unsigned char *states = NOW(span->states);
    size_t states_at = (uintptr_t)states - (uintptr_t)h->chunks.region.base;
    size_t readable = ledger_readable_bytes(&h->chunks.ledger);
    p->start = NULL;
    if (index >= nslots || NOW(span->purpose) != FOR_OBJECTS)
        return HEAP_NO_OBJECT;
    size_t nfar = slot_bytes > ALL_NEAR_MAX ? nslots : 0;
    if (states_at >= readable ||
        readable - states_at < far_offset(nslots) + nfar * sizeof(uint16_t))
        return HEAP_DAMAGED;
    uint32_t state = __atomic_load_n(states + index, __ATOMIC_ACQUIRE);
    uint32_t within = into - index * slot_bytes;
    p->start = (unsigned char *)address - within;
    p->size = p->room = slot_bytes;
    if (!state_is_object(state))
        return HEAP_FREE;
    p->size -= lookup_slack(states, nslots, index, state);
    return within < p->size || within == 0 ? HEAP_OK : HEAP_NO_OBJECT;
}

/* What an address of the region is, if it is in a span. HEAP_NOT_A_SLOT: it is in none.
 * The entry of a slice that is not the first one of its span says how far back that is. */
RACING static enum heap_result lookup_slot(const struct heap *h, uintptr_t address,
                                           struct lookup_result *p)
{
    const struct region *r = &h->chunks.region;
    const struct spans *s = &h->spans;
    uint32_t seen = changes_seen(&s->changes);
    assert(address - (uintptr_t)r->base < r->nbytes);
    if (NOW(s->nheld) == 0)
        return HEAP_NOT_A_SLOT;
    uintptr_t number = address >> s->slice_shift, from = (uintptr_t)r->base >> s->slice_shift;
    size_t slice = number - from, nslices = __atomic_load_n(&s->nclear, __ATOMIC_ACQUIRE);
    uintptr_t entries = entries_address(r, s); /* not older than nslices */
    uintptr_t readable = (uintptr_t)r->base + ledger_readable_bytes(&h->chunks.ledger);
    if (slice >= nslices || entries + (slice + 1) * sizeof(struct span) > readable)
        return is_unchanged(&s->changes, seen) ? HEAP_NOT_A_SLOT : HEAP_CHANGING;
    const struct span *span = (const struct span *)entries + slice;
    uint32_t back = NOW(span->back);
    if (back > slice) /* it would lead below the page map */
        return is_unchanged(&s->changes, seen) ? HEAP_DAMAGED : HEAP_CHANGING;
    uintptr_t first = (number - back) << s->slice_shift;
    enum heap_result what = lookup_in_span(h, span - back, first, address, p);
    return is_unchanged(&s->changes, seen) ? what : HEAP_CHANGING;
}

/* --- in a chunk ------------------------------------------------------------------ */

/* What an address `offset` bytes into the region is, if it is in this chunk. */
RACING static enum heap_result lookup_in_chunk(const struct chunk *c, unsigned char *base,
                                               size_t offset, struct lookup_result *p)
{
    size_t start = (size_t)c->start * GRANULE_BYTES;
    p->start = NULL;
    if (c->length == 0 || c->state == CHUNK_RESERVED)
        return HEAP_NO_OBJECT;
    p->start = base + start;
    p->size = p->room = (size_t)c->length * GRANULE_BYTES;
    if (c->state == 0)
        return HEAP_FREE;
    p->size -= c->state - 1;
    return offset - start < p->size || offset == start ? HEAP_OK : HEAP_NO_OBJECT;
}

/* While the count is odd, the guard page may be moving to where records are: none is read then
 * [GD2]. */
RACING enum heap_result lookup_ledger(const struct ledger *l, unsigned char *base, size_t offset,
                                      struct lookup_result *p)
{
    struct chunk c;
    uint32_t seen = changes_seen(&l->changes);
    if (seen % 2 != 0)
        return HEAP_CHANGING;
    bool sound = ledger_lookup(l, (uint32_t)(offset / GRANULE_BYTES), &c);
    if (!is_unchanged(&l->changes, seen))
        return HEAP_CHANGING;
    return sound ? lookup_in_chunk(&c, base, offset, p) : HEAP_DAMAGED;
}

/* --- in a heap ------------------------------------------------------------------- */

/* If the address is in no span, one may have been made around it by the time that the ledger is
 * asked: so the spans' count is compared once more. */
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
    if (chunks_gave_up(&h->chunks, offset))
        return HEAP_NOT_OURS;
    what = lookup_ledger(&h->chunks.ledger, r->base, offset, p);
    return is_unchanged(&h->spans.changes, seen) ? what : HEAP_CHANGING;
}

/* --- for lookup_object ------------------------------------------------------------ */

/* The view ends where the page map does, and 64 KiB before open memory does. A slot's index is
 * below 64 Ki, so that lookup_object need only check that a state array begins inside the view:
 * then states[index] can be read. A span that is made later makes the view out of date. */
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
    size_t nslices = __atomic_load_n(&s->nclear, __ATOMIC_ACQUIRE);
    uintptr_t entries = entries_address(r, s); /* not older than nslices */
    uintptr_t readable = (uintptr_t)r->base + ledger_readable_bytes(&h->chunks.ledger);
    if (NOW(s->nheld) == 0 || entries + nslices * sizeof(struct span) > readable)
        return false;
    to->slots.nbytes = readable - to->slots.base;
    if (nslices << s->slice_shift < to->slots.nbytes)
        to->slots.nbytes = nslices << s->slice_shift;
    to->slots.pagemap = (struct span *)entries;
    if (to->slots.nbytes <= SLICE_BYTES || !is_unchanged(&s->changes, to->seen))
        return false;
    to->slots.nbytes -= SLICE_BYTES;
    assert(to->slots.base <= (uintptr_t)r->base && to->mask == slice - 1);
    return true;
}

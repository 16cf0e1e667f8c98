/* SPDX-License-Identifier: MIT
 *
 * hcache.c - the slow path of a heap cache: windows moved, opened, closed. Invariants: hcache.h.
 */
#include "heaps/hcache.h"

/* Moves the window to the first 64 slots of which enough are free, from where it is, all around
 * the span. Returns false if there are none; then it is where it was, and its mask is 0. */
static bool hcache_window_scan(struct hcache_window *w, const struct span *span,
                               enum window_part part)
{
    uint32_t nslots = span->nslots, from = (uint32_t)(w->at.states - span->states), first = from;
    do {
        if (window_look(&w->at, nslots - first, part))
            return true;
        uint32_t next = first + STATES_AT_ONCE < nslots ? first + STATES_AT_ONCE : 0;
        window_step(&w->at, (ptrdiff_t)next - (ptrdiff_t)first, w->slot_bytes);
        first = next;
    } while (first != from);
    w->at.mask = 0;
    return false;
}

/* Puts the window on a span that the heap owns now. */
static void hcache_window_open(struct hcache_window *w, const struct spans *s, uint32_t slice)
{
    const struct span *span = pagemap_span(s, slice);
    assert(span->status == SPAN_OWNED && span->parked_by == NULL);
    *w = (struct hcache_window){.at.states = span->states,
                                .at.base = (unsigned char *)pagemap_address(s, slice),
                                .slot_bytes = span->slot_bytes,
                                .slice = slice};
}

/* Notes what all windows have in common: where the page map is, and how long [HC4]. */
static void hcache_note_pagemap(struct hcache *q, struct spans *s)
{
    assert(s->nheld > 0 && s->nclear > 0); /* HC4 */
    q->base = pagemap_address(s, 1);
    q->pagemap = pagemap_span(s, 1);
    q->nslices = s->nclear;
    q->slice_shift = (uint16_t)s->slice_shift;
}

/* One window for each class that small slots of the heap can have. */
size_t hcache_bytes(size_t nbytes)
{
    return sizeof(struct hcache) + spans_nclasses(nbytes) * sizeof(struct hcache_window);
}

/* Returns how many windows have room in an hcache of nbytes: hcache_bytes gave it one for each
 * class. */
static uint16_t nwindows_in(size_t nbytes)
{
    return (uint16_t)((nbytes - sizeof(struct hcache)) / sizeof(struct hcache_window));
}

/* Returns the window for a size in granules. Sizes beyond the last class lead to it, and
 * hcache_take sees that they do not fit. */
static uint8_t window_for(const struct heap *h, unsigned ngranules, unsigned nwindows)
{
    return (uint8_t)least(heap_sizeclass(h, ngranules * GRANULE_BYTES, 1), nwindows - 1);
}

void hcache_open(struct hcache *q, const struct heap *h, size_t nbytes)
{
    assert(nbytes > sizeof *q);
    memset(q, 0, nbytes);
    q->nwindows = nwindows_in(nbytes);
    for (unsigned i = 0; i < sizeof q->by_size; i++)
        q->by_size[i] = window_for(h, i, q->nwindows);
}

/* Returns whether a window is open. */
static bool hcache_is_open(const struct hcache *q)
{
    for (unsigned c = 0; c < q->nwindows; c++)
        if (q->window[c].slice != 0)
            return true;
    return false;
}

/* Gives the window another span of its class. Returns false if there is none: then the window is
 * closed. The old span is given up first: it may be the only one with free slots. */
static bool hcache_window_change(struct hcache_window *w, struct hcache *q, struct heap *h,
                                 unsigned sizeclass)
{
    assert(sizeclass < q->nwindows);
    if (w->slice != 0)
        spans_release(&h->spans, w->slice);
    *w = (struct hcache_window){0};
    uint32_t slice = spans_adopt(&h->spans, sizeclass);
    if (slice != 0) {
        hcache_window_open(w, &h->spans, slice);
        hcache_note_pagemap(q, &h->spans);
        h->is_swept = false;
    } else if (!hcache_is_open(q)) {
        q->nslices = 0; /* HC4 */
    }
    return slice != 0;
}

/* Takes the lowest slot of the mask, which is not 0, for an object of any slack. */
static void *hcache_window_take(struct hcache_window *w, const struct span *span, size_t nbytes)
{
    assert(w->at.mask != 0 && nbytes <= w->slot_bytes);
    uint32_t i = (uint32_t)lowest_bit(w->at.mask), first = (uint32_t)(w->at.states - span->states);
    assert(first + i < span->nslots);
    w->at.mask &= w->at.mask - 1;
    state_make_object(span->states, span->nslots, first + i, w->slot_bytes - (uint32_t)nbytes);
    return w->at.base + (size_t)i * w->slot_bytes;
}

/* Fills the mask: from elsewhere in the span, if it has more than 64 slots, else from another
 * span. Returns false if there is none. */
static bool hcache_refill(struct hcache *q, struct heap *h, unsigned sizeclass)
{
    struct hcache_window *w = &q->window[sizeclass];
    const struct span *last = w->slice == NO_SLICE ? NULL : pagemap_span(&h->spans, w->slice);
    if (last != NULL && last->nslots > STATES_AT_ONCE && hcache_window_scan(w, last, WINDOW_EIGHTH))
        return true;
    if (!hcache_window_change(w, q, h, sizeclass))
        return false;
    const struct span *span = pagemap_span(&h->spans, w->slice);
    /* A span that had an owner before may be nearly full. */
    return hcache_window_scan(w, span, WINDOW_EIGHTH) || hcache_window_scan(w, span, WINDOW_ANY);
}

/* Takes a slot of a class at most twice as large, if one is at hand; else returns NULL. It is
 * for a heap that has no room for another span. */
static void *hcache_borrow(struct hcache *q, struct heap *h, unsigned sizeclass, size_t nbytes)
{
    /* A slot more than twice as large would waste more than it helps. */
    size_t max = 2 * sizeclass_bytes(sizeclass);
    for (unsigned c = sizeclass + 1; c < q->nwindows && sizeclass_bytes(c) <= max; c++)
        if (q->window[c].at.mask != 0) {
            assert(slot_can_hold(sizeclass_bytes(c), nbytes)); /* a state says so much slack */
            return hcache_window_take(&q->window[c], pagemap_span(&h->spans, q->window[c].slice),
                                      nbytes);
        }
    return NULL;
}

/* Sizes above HCACHE_MAX come here directly, and so do objects with more slack than a state can
 * say. Large slots have no window: the heap takes them under its lock. */
void *hcache_take_slow(struct hcache *q, struct heap *h, size_t nbytes)
{
    unsigned sizeclass = heap_sizeclass(h, nbytes, 1);
    if (sizeclass == NCLASSES || is_wide(sizeclass_bytes(sizeclass)))
        return NULL;
    struct hcache_window *w = &q->window[sizeclass];
    if (w->at.mask == 0 && !hcache_refill(q, h, sizeclass))
        return hcache_borrow(q, h, sizeclass, nbytes);
    return hcache_window_take(w, pagemap_span(&h->spans, w->slice), nbytes);
}

/* Returns whether what does not change is as hcache_open has made it. */
static bool has_constants(const struct hcache *q, const struct heap *h, size_t nbytes)
{
    if (q->nwindows != nwindows_in(nbytes))
        return false;
    for (unsigned i = 0; i < sizeof q->by_size; i++)
        if (q->by_size[i] != window_for(h, i, q->nwindows))
            return false;
    return true;
}

/* Returns whether the window of a class is closed, or lies on an OWNED span of its class [HC1], and
 * each slot in its mask is free. */
static bool window_is_valid(const struct hcache_window *w, const struct spans *s, unsigned c)
{
    static const struct hcache_window closed;
    if (w->slice == NO_SLICE)
        return memcmp(w, &closed, sizeof closed) == 0;
    if (s->nheld == 0 || w->slice > s->nclear)
        return false;
    const struct span *span = pagemap_span(s, w->slice);
    uintptr_t first = (uintptr_t)w->at.states - (uintptr_t)span->states;
    return span->slot_bytes != 0 && span->sizeclass == c && span->status == SPAN_OWNED &&
           w->slot_bytes == span->slot_bytes && first < span->nslots &&
           first % STATES_AT_ONCE == 0 &&
           (uintptr_t)w->at.base == pagemap_address(s, w->slice) + first * span->slot_bytes &&
           (w->at.mask & ~free_slots(w->at.states, span->nslots - (uint32_t)first)) == 0;
}

/* Each window has another class, and so another span: if the numbers are equal, no OWNED span is
 * without a window. */
static bool windows_are_valid(const struct hcache *q, const struct spans *s)
{
    unsigned nopen = 0, nowned = 0;
    for (unsigned c = 0; c < q->nwindows; c++) {
        if (!window_is_valid(&q->window[c], s, c))
            return false;
        nopen += q->window[c].slice != NO_SLICE;
    }
    for (uint32_t slice = 1; s->nheld > 0 && slice <= pagemap_nslices_used(s); slice++)
        nowned += pagemap_span(s, slice)->status == SPAN_OWNED;
    return nopen == nowned && (q->nslices > 0) == (nopen > 0);
}

/* The page map, of which it says where it is, was checked before. */
bool hcache_is_valid(const struct hcache *q, const struct heap *h, size_t nbytes)
{
    const struct spans *s = &h->spans;
    return has_constants(q, h, nbytes) && windows_are_valid(q, s) &&
           (q->nslices == 0 ||
            (q->nslices == s->nclear && q->base == pagemap_address(s, 1) &&
             q->pagemap == pagemap_span(s, 1) && q->slice_shift == s->slice_shift));
}

/* With nslices == 0 no window is open [HC4]. */
void hcache_close(struct hcache *q, struct heap *h)
{
    for (unsigned c = 0; c < q->nwindows && q->nslices > 0; c++)
        if (q->window[c].slice != 0)
            spans_release(&h->spans, q->window[c].slice);
    /* The free slots that the windows held can be found through queues now: a sweep pays again. */
    if (q->nslices > 0) {
        memset(q->window, 0, q->nwindows * sizeof q->window[0]);
        q->nslices = 0;
        h->is_swept = false;
    }
    spans_give_back_empty(&h->spans);
}

/* SPDX-License-Identifier: MIT
 *
 * pagemap.c - takes slices from the ledger and gives them back, and keeps the page map.
 * Invariants: pagemap.h.
 */
#include "slots/pagemap.h"

#include "base/memcheck.h"

/* The last slice may reach beyond the region; then no span is ever in it. */
size_t pagemap_nslices(const struct spans *s)
{
    return pagemap_slice(s, (uintptr_t)spans_region(s)->base + spans_region(s)->nbytes - 1);
}

/* The ledger's tail begins where the last chunk ends. */
uint32_t pagemap_nslices_used(const struct spans *s)
{
    uint32_t top = ledger_tail(&s->chunks->ledger).start;
    return top == 0 ? 0 : pagemap_slice(s, (uintptr_t)region_at(spans_region(s), top) - 1);
}

/* --- chunks of the ledger -------------------------------------------------------- */

/* Returns whether a chunk was taken. What was an object there before may be touched again then: it
 * is the library's own, or will be slots, of which memcheck hears when they are taken [MC4]. */
static bool is_taken(const struct spans *s, enum chunks_result result, uint32_t start,
                     uint32_t length)
{
    if (memcheck_is_there && result == CHUNKS_OK)
        memcheck_show(region_at(spans_region(s), start), (size_t)length * GRANULE_BYTES);
    return result == CHUNKS_OK;
}

/* Takes a chunk that is neither an object nor free: its slack says so. Returns false if there is
 * no room. */
static bool granules_reserve(struct spans *s, uint32_t length, uint32_t align, uint32_t *start)
{
    assert(length > 0 && is_power_of_two(align));
    enum chunks_result result =
        chunks_take_aligned(s->chunks, length, align, LEDGER_RESERVED, start);
    return is_taken(s, result, *start, length);
}

/* Gives back the chunk that begins at `start`. It may be longer than what was asked for, if the
 * ledger was short of records, so its length is looked up. */
static void granules_give_back(struct spans *s, uint32_t start)
{
    struct ledger_place p;
    if (ledger_find_place(&s->chunks->ledger, start, &p)) {
        assert(p.chunk.start == start && p.chunk.state == CHUNK_RESERVED);
        chunks_give_back(s->chunks, &p);
    }
}

/* The page map is a chunk of the library's own, of one size as long as it is there. */
uint32_t pagemap_granules(const struct spans *s)
{
    if (!pagemap_is_there(s))
        return 0;
    size_t nbytes = QUEUES_BYTES + pagemap_nslices(s) * sizeof(struct span);
    return (uint32_t)(nbytes / GRANULE_BYTES);
}

/* Returns the granule behind the entry of a slice, up to which the page map has to be open for
 * writing before anything can be said of the slice. */
static uint32_t entry_end(const struct spans *s, uint32_t slice)
{
    return s->pagemap + (uint32_t)((QUEUES_BYTES + slice * sizeof(struct span)) / GRANULE_BYTES);
}

/* Takes `length` granules from the ledger for the page map. Returns false if there is no room. */
static bool pagemap_take(struct spans *s, uint32_t length)
{
    const uint32_t align = sizeof(struct span) / GRANULE_BYTES;
    if (!s->keeps_pagemap)
        return granules_reserve(s, length, align, &s->pagemap);
    enum chunks_result result =
        chunks_take_table(s->chunks, length, align, QUEUES_BYTES / GRANULE_BYTES, &s->pagemap);
    return is_taken(s, result, s->pagemap, length);
}

/* Takes the page map, if it is not there. All of it is 0 at first: the queues are empty, and no
 * slice is a span. Returns false if there is no room.
 *
 * Memory that was never written to is 0 already, except for the node of the free list that may
 * lie at its begin; it may be large, and is not touched. Other memory, which lies below it, is
 * cleared at once in a heap without a list, since there threads may read entries without the lock;
 * else entry by entry, as slices are taken. */
static bool pagemap_open(struct spans *s)
{
    size_t nbytes = QUEUES_BYTES + pagemap_nslices(s) * sizeof(struct span);
    uint32_t length = (uint32_t)(nbytes / GRANULE_BYTES);
    if (pagemap_is_there(s))
        return true;
    assert(s->nempty == 0 && s->nclear <= pagemap_nslices(s));
    struct ledger before = s->chunks->ledger;
    if (!pagemap_take(s, length))
        return false;
    uint32_t end = s->pagemap + length, fresh = end;
    if (spans_region(s)->is_zero)
        fresh = ledger_fresh_from(&before, s->pagemap, end);
    bool all = fresh == s->pagemap || s->chunks->list.head == NULL;
    size_t dirty = larger_of((size_t)(fresh - s->pagemap) * GRANULE_BYTES, GRANULE_BYTES);
    memset(region_at(spans_region(s), s->pagemap), 0, all ? dirty : (size_t)QUEUES_BYTES);
    assert(!chunks_have_unwritten(s->chunks) || fresh <= s->chunks->unwritten.from);
    /* A reader without the lock that sees this sees where the page map is, too. */
    __atomic_store_n(&s->nclear, all ? (uint32_t)pagemap_nslices(s) : 0, __ATOMIC_RELEASE);
    assert((uintptr_t)pagemap_span(s, 1) % sizeof(struct span) == 0); /* cache lines */
    return true;
}

/* Gives the page map back after the last span, if it may go [PM3]. */
static void pagemap_close(struct spans *s)
{
    assert(s->nempty <= s->nheld);
    if (!pagemap_is_there(s))
        granules_give_back(s, s->pagemap);
}

/* Makes sure that the entries up to that of the slice `last` are there [PM2]. */
static void pagemap_clear_up_to(struct spans *s, uint32_t last)
{
    assert(last <= pagemap_nslices(s));
    if (last <= s->nclear)
        return;
    memset(pagemap_span(s, s->nclear + 1), 0, (last - s->nclear) * sizeof(struct span));
    s->nclear = last;
}

/* The chunk is aligned in addresses, so it begins where a slice does:
 *
 *     [  free  ][slice][slice] ... [slice][  free  ]
 *         back:    0      1          n-1                                         [PM1]
 *
 * The page map is taken first, then the slices, then memory for their entries is opened. A step
 * that fails undoes those before it. */
uint32_t slices_take(struct spans *s, uint32_t n)
{
    assert(n == 1 || (n <= WIDE_SLICES_MAX && is_power_of_two(n)));
    uint32_t start;
    if (!pagemap_open(s))
        return NO_SLICE;
    if (!granules_reserve(s, n * slice_granules(s), slice_granules(s), &start)) {
        pagemap_close(s);
        return NO_SLICE;
    }
    uint32_t first = pagemap_slice(s, (uintptr_t)region_at(spans_region(s), start));
    if (!chunks_write_table(s->chunks, entry_end(s, first + n - 1))) { /* PM5 */
        /* Nothing but the ledger has changed yet, and no reader can know of the slices. */
        granules_give_back(s, start);
        pagemap_close(s);
        return NO_SLICE;
    }
    pagemap_clear_up_to(s, first + n - 1);
    assert(pagemap_address(s, first) == (uintptr_t)region_at(spans_region(s), start));
    assert(pagemap_span(s, first)->slot_bytes == 0 && pagemap_span(s, first)->back == 0);
    assert(pagemap_span(s, first)->status == SPAN_NONE);
    for (uint32_t i = 1; i < n; i++)
        __atomic_store_n(&pagemap_span(s, first + i)->back, i, __ATOMIC_RELAXED);
    s->nheld += n;
    s->nmade++;
    return first;
}

/* The first slice may begin below the region, and then no span begins in it. */
uint32_t pagemap_granule(const struct spans *s, uint32_t slice)
{
    assert(pagemap_address(s, slice) >= (uintptr_t)spans_region(s)->base);
    return (uint32_t)((pagemap_address(s, slice) - (uintptr_t)spans_region(s)->base) /
                      GRANULE_BYTES);
}

/* [slice 0 ... n-1] => free chunk, which joins its free neighbours.
 *
 * Readers may still look at the published fields and at `back`, so these are cleared with atomic
 * stores, and the rest as a whole. */
void slices_give_back(struct spans *s, uint32_t first, uint32_t n)
{
    struct span *span = pagemap_span(s, first);
    assert(span->reciprocal_published == 0 && span->reciprocal_published_wide == 0);
    assert(span->parked_by == NULL && span->back == 0);
    assert(span->status == SPAN_EMPTY || span->status == SPAN_NONE);
    assert(n <= s->nheld && s->nempty <= s->nheld - n);
    for (uint32_t i = 1; i < n; i++)
        __atomic_store_n(&pagemap_span(s, first + i)->back, 0, __ATOMIC_RELAXED);
    memset(&span->slot_bytes, 0, sizeof *span - offsetof(struct span, slot_bytes));
    granules_give_back(s, pagemap_granule(s, first));
    s->nheld -= n;
    pagemap_close(s);
}

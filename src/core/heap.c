/* SPDX-License-Identifier: MIT
 *
 * heap.c - decides for each call where an object comes from (a slot, a chunk, or a sweep of what
 * threads hold), what an address is, and when pages go back to the system. Invariants: heap.h.
 *
 * In this order: lock and opening, counting, taking, judging, pages, freeing, threads, resizing.
 *
 * Each call that changes a heap has the same shape:
 *
 *     face (mem.c, malloc.c, mem_heap.h)   checks what only it can know, and takes its lock
 *       -> heap_*                          h->lock, unless the face has a lock of its own
 *         -> judge or choose               changes nothing; here a call is refused
 *         -> slots (spans_*) or chunks     the change; only the system, or damage, can refuse it
 *         -> counters, trim                what is noted about it
 *       <- enum heap_result
 */
#include "core/heap.h"

#include "base/os.h"
#include "base/probe.h"
#include "core/pieces.h"

/* For a function that does the work of two calls, one of which takes the lock: a call in between
 * would cost each ten instructions. */
#define INLINED static inline __attribute__((always_inline))

/* Heaps of one's own do not use this lock, but one in their header (heaps/session.c). */
void heap_lock(struct heap *h)
{
    lock_take(&h->lock);
}

/* Debug builds (MEM_DEBUG=2) recount every invariant of the heap when a call is about to let go of
 * the lock: not at each call, but about as often as there are chunks, so that what it takes
 * for a call does not grow with the heap. Heaps of one's own are not checked, as tests damage
 * them on purpose: their lock is another. */
static void check_now_and_then_locked(const struct heap *h)
{
    enum { EVERY = 64 };
    static uint32_t ncalls, next = EVERY; /* of all heaps: it does not matter which is checked */
    if (__atomic_add_fetch(&ncalls, 1, __ATOMIC_RELAXED) < NOW(next))
        return;
    __atomic_store_n(&ncalls, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&next, EVERY + h->chunks.ledger.b.tree[BY_ADDRESS].nwords, __ATOMIC_RELAXED);
    struct recount n;
    const char *fault = h->chunks.region.base == NULL ? NULL : check_fault_locked(h, &n);
    assert(fault == NULL);
    (void)fault;
}

void heap_unlock(struct heap *h)
{
    if (MEM_DEBUG >= 2)
        check_now_and_then_locked(h);
    lock_release(&h->lock);
}

/* Spans decide by the size of the region whether there are slots, and of which sizes. Threads
 * have caches only where slices have their full size, which their fast path takes for a
 * constant. */
void heap_open_locked(struct heap *h, struct region region, MemNodePtr *head)
{
    assert(region.base != NULL);
    assert(head == NULL || region.nbytes <= (size_t)1 << 31); /* a node's size is an int */
    assert((uintptr_t)region.base % GRANULE_BYTES == 0 && region.nbytes <= REGION_BYTES_MAX);
    region.nbytes -= region.nbytes % GRANULE_BYTES;
    chunks_open(&h->chunks, region, head);
    spans_open(&h->spans, &h->chunks);
    h->spans.keeps_pagemap = true;
    h->clock = (struct os_clock){0};
    h->trim =
        (struct trim){.gone = os_milliseconds(&h->clock), .peak = head != NULL ? TRIM_NEVER : 0};
    h->huge = (struct huge){.next = HUGE_SOME - HUGE_AHEAD};
    h->is_swept = false;
    h->has_tcaches = head == NULL && h->counters == NULL && h->spans.slice_shift == SLICE_SHIFT;
    if (h->counters != NULL)
        h->counters->region_bytes = region.nbytes;
}

/* --- counting what the heap does --------------------------------------------- */

/* Out of line, so that a heap that does not count pays only for a comparison. */
#define APART __attribute__((noinline, cold))

/* Counts what is in use: live chunks and records, without the pagemap, which is hardly touched. */
static void count_use_locked(struct heap *h)
{
    assert(h->chunks.ledger.live_granules >= pagemap_granules(&h->spans)); /* the map is live */
    const struct ledger *l = &h->chunks.ledger;
    assert(h->counters != NULL);
    uint32_t ngranules = l->live_granules - pagemap_granules(&h->spans);
    counters_use(h->counters, (uint64_t)ngranules * GRANULE_BYTES + ledger_nbytes(l));
}

/* The three changes that are counted. A move counts as an allocation and a free. They are not
 * inlined, so that a heap that counts nothing has no code for it on its paths. */
APART static void count_taken_locked(struct heap *h, size_t nbytes)
{
    counters_take(h->counters, nbytes);
    count_use_locked(h);
}

APART static void count_freed_locked(struct heap *h, size_t nbytes)
{
    counters_free(h->counters, nbytes);
    count_use_locked(h);
}

APART static void count_resized_locked(struct heap *h, size_t nbytes, size_t nbytes_after)
{
    counters_resize(h->counters, nbytes, nbytes_after);
    count_use_locked(h);
}

/* Needs no system call, and no memory except the region, so a heap of 256 bytes in a static
 * buffer works, too. spans_open gives a small region no slots, so it is asked again for smaller
 * ones. */
void heap_open_single(struct heap *h, struct region region, bool keeps_pages, bool keeps_spans)
{
    assert(region.base != NULL && region.nbytes % GRANULE_BYTES == 0);
    assert((uintptr_t)region.base % GRANULE_BYTES == 0 && region.nbytes <= REGION_BYTES_MAX);
    *h = (struct heap){.keeps_pages = keeps_pages, .trim.peak = keeps_pages ? TRIM_NEVER : 0};
    if (!keeps_pages)
        h->trim.gone = os_milliseconds(&h->clock);
    chunks_open(&h->chunks, region, NULL);
    spans_open(&h->spans, &h->chunks);
    if (h->spans.object_max == 0)
        spans_open_small(&h->spans);
    if (!keeps_spans)
        h->spans.nkept = 0;
}

/* With object_max 0 no object gets a slot, so there are chunks on one side of the guard and
 * records on the other, and nothing else. */
void heap_open_guarded(struct heap *h, struct region region, uint32_t page)
{
    assert(page > 0 && region.nbytes % ((size_t)page * GRANULE_BYTES) == 0);
    heap_open_single(h, region, false, false);
    h->spans.object_max = 0;
    ledger_open_guarded(&h->chunks.ledger, region.base + region.nbytes, region.nbytes, page);
}

/* Returns whether the gap may be what has become of the one that a new heap has, if it has one
 * [LG7]. */
static bool gap_is_possible(const struct ledger *l, const struct ledger *like)
{
    const struct guard *gap = &l->guard, *first = &like->guard;
    if (l->guard.page != 0) /* it is a guard: ledger_is_sane looks at it */
        return true;
    if (gap->high == 0)
        return l->b.room == l->nbytes && (gap->low == 0 || first->high != 0);
    return first->low <= gap->low && gap->low < gap->high && gap->high <= first->high &&
           l->b.top <= gap->low && l->b.room == l->nbytes - (size_t)gap->high * GRANULE_BYTES;
}

/* Truth values are compared as bytes, since they may have been written over with anything. */
static bool has_constants_of_chunks(const struct chunks *c, const struct chunks *like)
{
    const struct ledger *l = &c->ledger;
    return c->region.base == like->region.base && c->region.nbytes == like->region.nbytes &&
           memcmp(&c->region.is_zero, &like->region.is_zero, sizeof(bool)) == 0 &&
           c->region.open_bytes == like->region.open_bytes && c->list.head == NULL &&
           c->list.region == &c->region && c->list.ledger == l && c->clean == NULL &&
           c->unwritten.from == c->unwritten.to && c->low_most == 0 && c->high_least == 0 &&
           l->b.end == like->ledger.b.end && l->nbytes == like->ledger.nbytes &&
           l->guard.page == like->ledger.guard.page &&
           (l->guard.page > 0 || l->guard.wanted_low == 0) && gap_is_possible(l, &like->ledger) &&
           l->changes % 2 == 0 && l->used >= l->high && l->used <= l->nbytes / GRANULE_BYTES;
}

/* No thread has a cache in a heap that is checked so, and no call is at work in it. The page map
 * has all its entries as soon as it is there. */
static bool has_constants_of_spans(const struct spans *s, const struct spans *like)
{
    bool shunned = true;
    for (unsigned i = 0; i < NCLASSES; i++)
        shunned = shunned && s->nshunned[i] <= NSHUNNED;
    return s->threads.first == NULL && s->changes % 2 == 0 && s->slice_shift == like->slice_shift &&
           s->skipped == like->skipped && s->object_max == like->object_max &&
           s->nkept == like->nkept && shunned && s->nclear <= pagemap_nslices(like) &&
           (s->nheld == 0 || s->nclear == pagemap_nslices(like)) &&
           memcmp(&s->keeps_pagemap, &like->keeps_pagemap, sizeof(bool)) == 0 &&
           memcmp(&s->clears, &like->clears, sizeof(bool)) == 0 &&
           s->guard_bytes == like->guard_bytes && s->random == like->random;
}

/* Each number of `like` is what opening a heap of this size makes it, and no call ever changes
 * it. */
bool heap_has_constants_of(const struct heap *h, const struct heap *like)
{
    static const bool both[] = {false, true};
    return has_constants_of_chunks(&h->chunks, &like->chunks) && h->spans.chunks == &h->chunks &&
           has_constants_of_spans(&h->spans, &like->spans) && h->counters == NULL &&
           memcmp(&h->has_tcaches, &like->has_tcaches, sizeof(bool)) == 0 &&
           memcmp(&h->keeps_pages, &like->keeps_pages, sizeof(bool)) == 0 &&
           memcmp(&h->gives_whole_pages, &like->gives_whole_pages, sizeof(bool)) == 0 &&
           memcmp(&h->wants_huge_pages, &like->wants_huge_pages, sizeof(bool)) == 0 &&
           memcmp(&h->has_huge_pages, &like->has_huge_pages, sizeof(bool)) == 0 &&
           h->huge.next == like->huge.next &&
           (memcmp(&h->is_swept, &both[0], 1) == 0 || memcmp(&h->is_swept, &both[1], 1) == 0);
}

/* Takes over the numbers of the records and where the page map is: nothing else could tell them.
 * What was ever used is not known to be more than what is used now. */
void heap_make_anew(struct heap *h, const struct heap *was)
{
    const struct ledger *from = &was->chunks.ledger;
    struct ledger *l = &h->chunks.ledger;
    l->b.nnodes = from->b.nnodes;
    l->b.top = from->b.top;
    l->b.tree[BY_ADDRESS] = from->b.tree[BY_ADDRESS];
    l->b.tree[BY_SIZE] = from->b.tree[BY_SIZE];
    l->b.sum = from->b.sum;
    l->live_granules = from->live_granules;
    l->high = l->used = from->high;
    l->most = l->b.tree[BY_ADDRESS].nwords;
    h->spans.pagemap = was->spans.pagemap;
    h->spans.nheld = was->spans.nheld;
    h->spans.nclear = (uint32_t)pagemap_nslices(&h->spans);
}

/* --- taking ---------------------------------------------------------------- */

static void trim_at_peak_locked(struct heap *h);

/* TR3 is asked wherever chunks are handed out, before they are written to. */
static inline void trim_if_peak_locked(struct heap *h)
{
    if (trim_is_peak(&h->trim, &h->chunks.ledger))
        trim_at_peak_locked(h);
}

/* The granules that an object of nbytes takes; 0 for more than any region has. */
static uint32_t granules_for(size_t nbytes)
{
    size_t n = nbytes == 0 ? 1 : ceil_div(nbytes, GRANULE_BYTES);
    return n <= UINT32_MAX ? (uint32_t)n : 0;
}

/* The bytes at the end of the last granule that are no part of the object. */
static uint32_t slack_for(size_t nbytes)
{
    return (uint32_t)(granules_for(nbytes) * (size_t)GRANULE_BYTES - nbytes);
}

/* Stores the slack, and returns the granules, of an object that is a chunk of its own; returns 0
 * for more than any region has. Where large objects get whole pages, the slack grows to the end of
 * the last one; a length that would then be 2^32 wraps around to 0. */
static uint32_t chunk_granules(const struct heap *h, size_t nbytes, uint32_t *slack)
{
    enum { PAGE = WHOLE_PAGE_BYTES / GRANULE_BYTES };
    uint32_t length = granules_for(nbytes);
    uint32_t more = h->gives_whole_pages && nbytes >= LARGE_OBJECT ? -length % PAGE : 0;
    *slack = slack_for(nbytes) + more * GRANULE_BYTES;
    return length + more;
}

/* Takes an object that is a chunk of its own. */
static enum heap_result take_chunk(struct heap *h, size_t nbytes, size_t align, enum fit fit,
                                   void **object)
{
    assert(is_power_of_two(align));
    uint32_t slack, start, length = chunk_granules(h, nbytes, &slack);
    size_t ngranules = align / GRANULE_BYTES;
    if (length == 0 || ngranules > UINT32_MAX)
        return HEAP_NO_SPACE;
    enum chunks_result result =
        ngranules <= 1
            ? chunks_take(&h->chunks, length, slack, fit, &start)
            : chunks_take_aligned(&h->chunks, length, (uint32_t)ngranules, slack, &start);
    if (result != CHUNKS_OK)
        return result == CHUNKS_NONE           ? HEAP_NO_SPACE
               : result == CHUNKS_LIST_DAMAGED ? HEAP_LIST_DAMAGED
                                               : HEAP_DAMAGED;
    trim_if_peak_locked(h);
    *object = region_at(&h->chunks.region, start);
    assert((uintptr_t)*object % align == 0);
    return HEAP_OK;
}

/* No chunk is longer than 2^32 granules, nor aligned to more. */
bool heap_has_room(const struct heap *h, size_t nbytes, size_t align)
{
    uint32_t length = granules_for(nbytes);
    size_t ngranules = align <= GRANULE_BYTES ? 1 : align / GRANULE_BYTES;
    return length != 0 && ngranules <= UINT32_MAX &&
           chunks_have_room(&h->chunks, length, (uint32_t)ngranules);
}

/* A slot begins at a multiple of `align` if the slots of its class are multiples of `align`
 * long, so a class may be chosen that is larger than nbytes needs. Not if too much of the slot
 * would be slack. */
unsigned heap_sizeclass(const struct heap *h, size_t nbytes, size_t align)
{
    assert(is_power_of_two(align));
    size_t max = h->spans.object_max;
    if (nbytes > max || align > max || align > SLICE_BYTES / 8)
        return NCLASSES;
    size_t room = align <= GRANULE_BYTES ? nbytes : sizeclass_room(nbytes + (nbytes == 0), align);
    unsigned sizeclass = sizeclass_of(room);
    if (sizeclass >= NSMALL)
        sizeclass |= h->spans.skipped;
    if (align <= GRANULE_BYTES)
        return sizeclass;
    assert(sizeclass < NCLASSES);
    uint32_t slot_bytes = sizeclass_bytes(sizeclass);
    assert(slot_bytes <= max); /* a power of two: nothing below it is rounded up beyond it */
    return slot_can_hold(slot_bytes, nbytes) ? sizeclass : NCLASSES;
}

/* Takes a slot if the object may have one and there is one, else a chunk. */
static enum heap_result take_once(struct heap *h, size_t nbytes, size_t align, enum fit fit,
                                  void **object)
{
    unsigned sizeclass = fit == FIT_ANY ? heap_sizeclass(h, nbytes, align) : NCLASSES;
    if (sizeclass < NCLASSES) {
        *object = spans_take(&h->spans, nbytes, sizeclass);
        assert((uintptr_t)*object % align == 0); /* slots of this class are aligned so far */
        if (*object != NULL)
            return HEAP_OK;
    }
    return take_chunk(h, nbytes, align, fit, object);
}

/* Takes back the free slots that threads hold, and gives all empty spans back, before a call
 * returns HEAP_NO_SPACE [HP2]. Returns false if that was done already, or if there are no spans. */
static bool sweep_locked(struct heap *h)
{
    if (h->spans.nheld == 0 || h->is_swept)
        return false;
    h->is_swept = tcaches_revoke_locked(&h->spans);
    spans_sweep(&h->spans);
    return true;
}

/* Returns whether a sweep may find room for nbytes. Where no empty span is kept, all that it can
 * find is a slot that is in no queue, so it is no use to a larger object; and to look through 64
 * GiB takes long. */
static bool may_find_more(const struct heap *h, size_t nbytes)
{
    bool for_slot = nbytes <= h->spans.object_max, fits = nbytes < h->chunks.region.nbytes;
    return for_slot || (fits && h->spans.nkept > 0);
}

/* Tries in this order: a slot or a chunk; after a sweep, once more; for a small object, a free
 * slot of any larger class. Counts nothing. */
INLINED enum heap_result find_place_locked(struct heap *h, size_t nbytes, size_t align,
                                           enum fit fit, void **object)
{
    assert(is_power_of_two(align) && (unsigned)fit <= FIT_ANY);
    assert(align <= GRANULE_BYTES || fit == FIT_BEST ||
           fit == FIT_ANY); /* chunks are aligned by best fit only */
    enum heap_result result = HEAP_NO_REGION;
    if (h->chunks.region.base != NULL)
        result = take_once(h, nbytes, align, fit, object);
    if (result == HEAP_NO_SPACE && may_find_more(h, nbytes) && sweep_locked(h)) /* SP5 */
        result = take_once(h, nbytes, align, fit, object);
    if (result == HEAP_NO_SPACE && fit == FIT_ANY && align <= GRANULE_BYTES &&
        nbytes <= h->spans.object_max && (*object = spans_take_larger(&h->spans, nbytes)) != NULL)
        result = HEAP_OK;
    return result;
}

INLINED enum heap_result place_locked(struct heap *h, size_t nbytes, size_t align, enum fit fit,
                                      void **object)
{
    enum heap_result result = find_place_locked(h, nbytes, align, fit, object);
    if (h->counters != NULL && result == HEAP_OK)
        count_taken_locked(h, nbytes);
    return result;
}

/* The heap of a face with its own lock; heap_take is the same with h->lock. */
enum heap_result heap_place_locked(struct heap *h, size_t nbytes, size_t align, enum fit fit,
                                   void **object)
{
    return place_locked(h, nbytes, align, fit, object);
}

/* The part is read under the lock, and cleared around without it, by the caller. What went back to
 * the system are whole pages, and an object may begin and end within one:
 *
 *     page        |               |               |               |
 *     object            [------------ nbytes -----------]slack]
 *     clean                       [-----------------------------]
 *     *zero                       [---------------------]
 *
 * A size of 0 says that no part is clean. */
static struct object part_of(const struct heap *h, struct interval clean, void *object,
                             size_t nbytes)
{
    struct object zero = {0};
    if (clean.start >= clean.end)
        return zero;
    zero.start = region_at(&h->chunks.region, clean.start);
    size_t before = (size_t)((unsigned char *)zero.start - (unsigned char *)object);
    size_t length = (size_t)(clean.end - clean.start) * GRANULE_BYTES;
    if (before < nbytes)
        zero.size = length < nbytes - before ? length : nbytes - before;
    return zero;
}

/* Memory that asks for huge pages when its thread has left the lock: none if nbytes is 0. */
struct huge_wish {
    void *start;
    size_t nbytes;
    void *timed; /* the huge page to be timed first; NULL: none [HU1] */
    bool keeps;  /* the timed page stays, since another thread may use the memory by then */
};

/* Times small pages before anything asks for huge ones: 0.1 ms where they are slow [HU4]. These are
 * the next pages of the tail that were never written to; if too few of them are open, a later call
 * does it. */
static void know_small_pages_locked(struct heap *h)
{
    const struct ledger *l = &h->chunks.ledger;
    if (h->huge.knows_small)
        return;
    uintptr_t base = (uintptr_t)h->chunks.region.base, page = os_page_bytes();
    size_t from = ceil_div(base + (size_t)l->used * GRANULE_BYTES, page) * page - base;
    size_t end = from + OS_PAGES_TIMED * page;
    uint32_t granule = (uint32_t)(from / GRANULE_BYTES);
    if (end < ledger_readable_bytes(l) &&
        ledger_fresh_from(l, granule, (uint32_t)(end / GRANULE_BYTES)) == granule)
        huge_note_small(&h->huge, os_small_page_ns((void *)(base + from)));
}

/* Returns what a large object should ask for, before its caller gets it. Those pages that begin in
 * it are asked for: what lies behind it is mostly another large object, or will be. Pages that are
 * there already stay as they are, so an object without clean memory needs none. Not inlined, as
 * such objects are few. */
static __attribute__((noinline)) struct huge_wish
wish_for_object_locked(struct heap *h, void *object, size_t nbytes)
{
    const struct region *r = &h->chunks.region;
    struct object zero = part_of(h, chunks_clean_part(&h->chunks), object, nbytes);
    assert(nbytes >= HUGE_OBJECT);
    if (!h->wants_huge_pages || zero.size == 0)
        return (struct huge_wish){0};
    uintptr_t begin = (uintptr_t)zero.start,
              page = ceil_div(begin, HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES;
    bool can_time = page + HUGE_PAGE_BYTES <= begin + zero.size;
    know_small_pages_locked(h);
    enum huge_answer answer = huge_ask(&h->huge, can_time, os_milliseconds(&h->clock));
    if (answer == HUGE_NO)
        return (struct huge_wish){0};
    h->has_huge_pages = true;
    size_t end = ceil_div((uintptr_t)object + nbytes, HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES;
    size_t wanted = end - (uintptr_t)object;
    size_t open = ledger_readable_bytes(&h->chunks.ledger) - region_offset(r, object);
    return (struct huge_wish){object, smaller_of(wanted, open),
                              answer == HUGE_TIME_ONE ? (void *)page : NULL, false};
}

/* Returns whether the heap has grown so far that the memory into which it grows should ask. */
static inline bool growth_is_due_locked(const struct heap *h)
{
    return h->chunks.ledger.used > h->huge.next - 1; /* 0 wraps to the highest number */
}

/* Returns what that memory should ask for [HU3]: a piece of whole huge pages, as far as it is open.
 * A large object may have reached beyond where the piece was to begin; then that has asked for
 * itself. Where small pages are fast, none is due before the heap is large.
 *
 *     [ chunks ... used ][ ahead ][ piece ][ ... open ]|.... gap
 *                                 begin    end         */
static __attribute__((noinline)) struct huge_wish wish_for_growth_locked(struct heap *h)
{
    const struct ledger *l = &h->chunks.ledger;
    uintptr_t base = (uintptr_t)h->chunks.region.base, page = HUGE_PAGE_BYTES;
    assert(growth_is_due_locked(h));
    if (!h->wants_huge_pages) {
        h->huge.next = 0; /* so that no other call comes here */
        return (struct huge_wish){0};
    }
    know_small_pages_locked(h);
    size_t first = larger_of((size_t)h->huge.next + HUGE_AHEAD, l->used);
    uintptr_t begin = ceil_div(base + first * GRANULE_BYTES, page) * page,
              open = (base + ledger_readable_bytes(l)) / page * page,
              end = smaller_of(begin + (size_t)HUGE_PIECE * GRANULE_BYTES, open);
    if (!growth_is_due_locked(h) || begin >= end)
        return (struct huge_wish){0};
    h->huge.next = (uint32_t)((end - base) / GRANULE_BYTES - HUGE_AHEAD);
    enum huge_answer answer = huge_ask(&h->huge, true, os_milliseconds(&h->clock));
    if (answer == HUGE_NO)
        return (struct huge_wish){0};
    h->has_huge_pages = true;
    return (struct huge_wish){(void *)begin, end - begin,
                              answer == HUGE_TIME_ONE ? (void *)begin : NULL, true};
}

/* Makes a huge page of clean memory, and returns whether that was fast [HU1, HU2]. The memory is
 * zero before and after. The lock is not held; so if other threads may have got the memory
 * meanwhile, none of it goes back. */
static bool time_huge_page(struct heap *h, void *page, bool keeps)
{
    struct os_clock clock = {0};
    os_want_huge_pages(page, HUGE_PAGE_BYTES, true);
    uint64_t before = os_milliseconds(&clock);
    os_make_page(page);
    uint64_t took = os_milliseconds(&clock) - before;
    heap_lock(h);
    bool fast = huge_note(&h->huge, took, os_milliseconds(&h->clock));
    heap_unlock(h);
    if (fast && !keeps)
        os_give_back(page, HUGE_PAGE_BYTES);
    return fast;
}

/* Leaves the lock, and asks for what the object should, if it is a large one, else for growth. */
APART static void unlock_and_ask(struct heap *h, enum heap_result result, void *const *object,
                                 size_t nbytes)
{
    struct huge_wish wish = {0};
    if (nbytes >= HUGE_OBJECT && result == HEAP_OK)
        wish = wish_for_object_locked(h, *object, nbytes);
    else if (growth_is_due_locked(h))
        wish = wish_for_growth_locked(h);
    heap_unlock(h);
    if (wish.nbytes > 0 && (wish.timed == NULL || time_huge_page(h, wish.timed, wish.keeps)))
        os_want_huge_pages(wish.start, wish.nbytes, true);
}

/* Leaves the lock after a call that took an object of nbytes, if the result is HEAP_OK. */
static inline void unlock_after_taking(struct heap *h, enum heap_result result, void *const *object,
                                       size_t nbytes)
{
    if (nbytes >= HUGE_OBJECT || growth_is_due_locked(h))
        unlock_and_ask(h, result, object, nbytes);
    else
        heap_unlock(h);
}

/* place_locked with the lock around it. */
static enum heap_result lock_and_place(struct heap *h, size_t nbytes, size_t align, enum fit fit,
                                       void **object)
{
    heap_lock(h);
    enum heap_result result = place_locked(h, nbytes, align, fit, object);
    unlock_after_taking(h, result, object, nbytes);
    return result;
}

enum heap_result heap_take(struct heap *h, size_t nbytes, enum fit fit, void **object)
{
    return lock_and_place(h, nbytes, 1, fit, object);
}

/* No huge pages: a program that asks for zeros may count on those that it never reads costing
 * nothing. */
enum heap_result heap_take_clean(struct heap *h, size_t nbytes, void **object, struct object *zero)
{
    heap_lock(h);
    enum heap_result result = place_locked(h, nbytes, 1, FIT_ANY, object);
    struct interval clean = chunks_clean_part(&h->chunks);
    heap_unlock(h);
    *zero = result == HEAP_OK ? part_of(h, clean, *object, nbytes) : (struct object){0};
    return result;
}

/* With FIT_ANY, so that small objects get slots; a chunk is then placed by best fit. */
enum heap_result heap_take_aligned(struct heap *h, size_t nbytes, size_t align, void **object)
{
    assert(h->chunks.list.head == NULL);
    return lock_and_place(h, nbytes, align, FIT_ANY, object);
}

/* --- judging --------------------------------------------------------------- */

/* These two say what is there, and leave to judge_locked whether the address is in the object.
 *
 * What an address in a slot is: HEAP_INSIDE if the slot is an object, wherever in it the address
 * lies. */
static enum heap_result judge_slot(const void *address, const struct slot *slot,
                                   struct object *found)
{
    /* What is left over behind the last slot is free memory, though no object can have it. */
    if (!slot->is_object)
        return slot->is_metadata ? HEAP_NO_OBJECT : HEAP_FREE;
    /* From the address itself, so that the start is a pointer into what the caller was given. */
    found->start = (unsigned char *)(uintptr_t)address - slot->into;
    found->size = slot->bytes - slot->slack;
    return HEAP_INSIDE;
}

/* What an address in a chunk is, likewise. */
static enum heap_result judge_chunk(const struct heap *h, const struct chunk *c,
                                    struct object *found)
{
    if (c->state == 0)
        return HEAP_FREE;
    if (c->state == CHUNK_RESERVED)
        return HEAP_NO_OBJECT;
    size_t nbytes = (size_t)c->length * GRANULE_BYTES, slack = c->state - 1;
    assert(slack <= nbytes); /* else the ledger does not find it [LG5] */
    found->start = region_at(&h->chunks.region, c->start);
    found->size = nbytes - slack;
    return HEAP_INSIDE;
}

/* Says what an address is; this is the one place where that is decided, for calls that hold the
 * lock. Returns HEAP_OK if the object `found` begins there, and HEAP_INSIDE if the address is in
 * that object but not its start. Stores in `p` where the object was found. */
static enum heap_result judge_locked(const struct heap *h, const void *address, struct location *p,
                                     struct object *found)
{
    size_t offset = region_offset(&h->chunks.region, address);
    uint32_t granule = (uint32_t)(offset / GRANULE_BYTES);
    enum heap_result result;
    if (offset >= h->chunks.region.nbytes)
        return HEAP_NOT_OURS;
    p->in_span = spans_find(&h->spans, offset, &p->slot);
    if (p->in_span)
        result = judge_slot(address, &p->slot, found);
    else if (chunks_gave_up(&h->chunks, offset))
        return HEAP_NOT_OURS;
    else if (ledger_find_place(&h->chunks.ledger, granule, &p->place))
        result = judge_chunk(h, &p->place.chunk, found);
    else if (granule < h->chunks.ledger.b.top)
        return HEAP_DAMAGED; /* chunks tile all below [LG1] */
    else
        return HEAP_NO_OBJECT; /* the ledger, or what is left over below it */
    if (result != HEAP_INSIDE)
        return result;
    if (address == found->start)
        return HEAP_OK; /* also of an object without a byte */
    size_t into = (size_t)((uintptr_t)address - (uintptr_t)found->start);
    return into < found->size ? HEAP_INSIDE : HEAP_NO_OBJECT; /* slack behind the last byte */
}

/* The result for a caller to whom any address inside an object is as good as its start. */
static enum heap_result any_address(enum heap_result result)
{
    return result == HEAP_INSIDE ? HEAP_OK : result;
}

/* Three ways to ask the judge, which differ in the lock and in what the caller takes for an
 * answer. */
enum heap_result heap_find_locked(const struct heap *h, const void *address, struct object *found)
{
    struct location p;
    return judge_locked(h, address, &p, found);
}

enum heap_result heap_find_exact(struct heap *h, const void *address, struct object *found)
{
    struct location p;
    heap_lock(h);
    enum heap_result result = judge_locked(h, address, &p, found);
    heap_unlock(h);
    return result;
}

enum heap_result heap_find(struct heap *h, const void *address, struct object *found)
{
    return any_address(heap_find_exact(h, address, found));
}

/* Not inlined, so that the free of a slot does not save the registers that this needs. */
static __attribute__((noinline)) void give_chunk_back_locked(struct heap *h,
                                                             const struct ledger_place *place)
{
    assert(place->chunk.state != 0 && place->chunk.state != CHUNK_RESERVED); /* an object */
    chunks_give_back(&h->chunks, place);
}

/* Frees the object that was found. A slot that is free may now be worth a sweep. */
INLINED void give_back_locked(struct heap *h, const struct location *p)
{
    if (p->in_span) {
        assert(p->slot.is_object && !p->slot.is_metadata);
        spans_free(&h->spans, &p->slot);
        h->is_swept = false;
    } else {
        give_chunk_back_locked(h, &p->place);
    }
}

/* --- giving pages back ------------------------------------------------------ */

/* Says where [from, to) went back that huge pages are not wanted any longer [HU5]: in whole huge
 * pages, so that the system has as few mappings to keep as it can, and in none beyond the region.
 *
 *     | live [from |            |            |   to) live |
 *       unwanted    unless small ones are slow  unwanted        */
static void unwant_huge_pages(const struct heap *h, uintptr_t from, uintptr_t to)
{
    const uintptr_t page = HUGE_PAGE_BYTES, base = (uintptr_t)h->chunks.region.base;
    uintptr_t first_whole = ceil_div(from, page) * page, last_whole = to / page * page;
    uintptr_t first = larger_of(from / page * page, base);
    uintptr_t end = smaller_of(ceil_div(to, page) * page, base + h->chunks.region.nbytes);
    if (!h->huge.always || first_whole >= last_whole) {
        os_want_huge_pages((void *)first, end - first, false);
        return;
    }
    os_want_huge_pages((void *)first, first_whole - first, false);
    os_want_huge_pages((void *)last_whole, end - last_whole, false);
}

/* Gives whole pages that are free back. Returns false if there are none, or the system refuses. A
 * heap that has never asked for huge pages has none to refuse, and saves that call, so that small
 * programs make one call of the system for each hole. */
static bool give_to_system(const struct heap *h, uintptr_t first, uintptr_t end)
{
    if (first >= end || !os_give_back((void *)first, end - first))
        return false;
    if (h->has_huge_pages)
        unwant_huge_pages(h, first, end);
    return true;
}

/* Gives the whole pages of [from, to), which is free, back; then they read as zero. If the system
 * refuses, they stay as they are, which is no failure. */
static void give_pages_back(struct heap *h, unsigned char *from, unsigned char *to)
{
    assert(from <= to);
    uintptr_t page = os_page_bytes();
    uintptr_t first = ceil_div((uintptr_t)from, page) * page, end = (uintptr_t)to / page * page;
    if (!give_to_system(h, first, end))
        return;
    PROBE_TRIM(first, end - first);
    uintptr_t base = (uintptr_t)h->chunks.region.base; /* a multiple of a granule */
    chunks_given_back(&h->chunks, (first - base) / GRANULE_BYTES, (end - base) / GRANULE_BYTES);
}

/* Gives the pages of the tail back, among them those that the records have grown over and left
 * again; but none that is not open yet [LG7]. */
static void give_tail_back(struct heap *h)
{
    /* [ chunks ][ tail ... open ]|.... gap ....|[ open ... written once ][ records ]
     *            from             low                 written             to       end */
    const struct ledger *l = &h->chunks.ledger;
    unsigned char *base = h->chunks.region.base, *end = base + h->chunks.region.nbytes;
    unsigned char *from = region_at(&h->chunks.region, ledger_tail(l).start);
    unsigned char *to = end - ledger_nbytes(l);
    if (l->guard.high == 0 || l->guard.page != 0) {
        give_pages_back(h, from, to);
        return;
    }
    give_pages_back(h, from, region_at(&h->chunks.region, l->guard.low));
    give_pages_back(h, end - ledger_nbytes_written(l), to);
}

/* Gives the pages of the tail and of all holes of `least` bytes or more back to the system. */
static void trim_locked(struct heap *h, size_t least)
{
    assert(h->chunks.list.head == NULL && !h->keeps_pages); /* nodes or a caller need the pages */
    assert(least > 0);
    struct chunk hole = {.length = UINT32_MAX};
    chunks_begin_to_give(&h->chunks);
    while (ledger_next_shorter(&h->chunks.ledger, &hole) &&
           (size_t)hole.length * GRANULE_BYTES >= least) {
        unsigned char *start = region_at(&h->chunks.region, hole.start);
        give_pages_back(h, start, start + (size_t)hole.length * GRANULE_BYTES);
    }
    give_tail_back(h);
    if (h->counters != NULL)
        h->counters->given_back_bytes += (uint64_t)h->chunks.ledger.ndirty * GRANULE_BYTES;
    h->chunks.ledger.ndirty = h->chunks.ledger.least_dirty = 0;
}

/* Returns whether all free pages should go back now. The pagemap is live but hardly touched, so it
 * counts as not there. */
static bool decide_trim_locked(struct heap *h)
{
    struct ledger *l = &h->chunks.ledger;
    uint32_t nspare = pagemap_granules(&h->spans);
    return !h->keeps_pages && l->ndirty >= trim_least(l, nspare) && /* before the clock is asked */
           trim_decide(&h->trim, l, nspare, os_milliseconds(&h->clock));
}

enum { SHORT_HOLE = 64 << 10 }; /* bytes: a system call for less does not pay */

/* Gives back what is dirty, if TR3 says so; then notes the new peak. Not inlined, as peaks are
 * few. */
static __attribute__((noinline)) void trim_at_peak_locked(struct heap *h)
{
    struct ledger *l = &h->chunks.ledger;
    uint32_t nspare = pagemap_granules(&h->spans);
    if (l->ndirty >= trim_little(l, nspare) && /* before the clock is asked */
        trim_decide_at_peak(&h->trim, l, nspare, os_milliseconds(&h->clock)))
        trim_locked(h, SHORT_HOLE);
    if (trim_is_peak(&h->trim, l))
        h->trim.peak = (uint64_t)l->live_granules + l->ndirty;
}

/* A heap with a free list never gives memory back: the nodes of the list lie in free pages. */
INLINED void trim_if_time_locked(struct heap *h)
{
    if (h->chunks.list.head == NULL && decide_trim_locked(h))
        trim_locked(h, SHORT_HOLE);
}

void heap_trim_if_time_locked(struct heap *h)
{
    trim_if_time_locked(h);
}

/* Gives back the whole pages of the free slots [from, to) of a span. Returns whether there were
 * any. */
static bool give_slots_back(const struct heap *h, uint32_t slice, uint32_t from, uint32_t to)
{
    uint32_t slot_bytes = pagemap_span(&h->spans, slice)->slot_bytes;
    uintptr_t page = os_page_bytes(), at = pagemap_address(&h->spans, slice);
    uintptr_t first = ceil_div(at + (size_t)from * slot_bytes, page) * page;
    uintptr_t end = (at + (size_t)to * slot_bytes) / page * page;
    return give_to_system(h, first, end);
}

/* Gives back the pages among the objects of spans: of free slots, one beside the other, in spans
 * without an owner, where only the lock's holder takes slots [SP3]. Returns whether there were
 * any. */
static bool trim_spans_locked(struct heap *h)
{
    const struct spans *s = &h->spans;
    bool freed = false;
    for (uint32_t slice = 1, n = spans_last_slice(s); slice <= n; slice++) {
        const struct span *span = pagemap_span(s, slice);
        if ((span->status != SPAN_PARTIAL && span->status != SPAN_FULL) ||
            span->purpose != FOR_OBJECTS)
            continue;
        /* Each live slot, and the end of the span, ends the free ones that began at `from`. */
        for (uint32_t i = 0, from = 0; i <= span->nslots; i++) {
            if (i < span->nslots && state_get(span->states, i) == 0)
                continue;
            freed |= give_slots_back(h, slice, from, i);
            from = i + 1;
        }
    }
    return freed;
}

/* What threads hold and empty spans are free memory, too, so a sweep comes first. */
bool heap_trim(struct heap *h)
{
    assert(h->chunks.list.head == NULL);
    heap_lock(h);
    bool freed = false;
    if (h->chunks.region.base != NULL) {
        sweep_locked(h);
        freed = trim_spans_locked(h) || h->chunks.ledger.ndirty > 0;
        trim_locked(h, os_page_bytes());
    }
    heap_unlock(h);
    return freed;
}

/* The gap, without the hole that a limit may have made in it. */
size_t heap_spare_bytes(struct heap *h)
{
    heap_lock(h);
    const struct guard *gap = &h->chunks.ledger.guard;
    uint32_t hole = h->chunks.high_least - h->chunks.low_most;
    size_t nbytes = (size_t)(gap->high - gap->low - hole) * GRANULE_BYTES;
    heap_unlock(h);
    return nbytes;
}

/* Other threads may have opened some of it since the caller has asked how much there is; then less
 * is left than the caller wanted to keep, or goes. */
void heap_give_up_spare(struct heap *h, size_t keep)
{
    heap_lock(h);
    chunks_cut_gap(&h->chunks, keep);
    heap_unlock(h);
}

/* --- freeing ------------------------------------------------------------------- */

/* The one free: judges, gives back and counts. A refused one does none of it, so that all numbers
 * of the heap are what they were. The caller trims if it is time to. */
INLINED enum heap_result free_locked(struct heap *h, const void *address, bool exact,
                                     struct object *found)
{
    struct location p;
    enum heap_result result = judge_locked(h, address, &p, found);
    if (!exact)
        result = any_address(result);
    if (result == HEAP_OK)
        give_back_locked(h, &p);
    if (h->counters != NULL && result == HEAP_OK)
        count_freed_locked(h, found->size);
    return result;
}

enum heap_result heap_free_locked(struct heap *h, const void *address, bool exact,
                                  struct object *found)
{
    return free_locked(h, address, exact, found);
}

/* `exact` is a constant in both callers, so each has code without a test of it. */
INLINED enum heap_result lock_and_free(struct heap *h, const void *address, bool exact)
{
    struct object found;
    heap_lock(h);
    enum heap_result result = free_locked(h, address, exact, &found);
    if (result == HEAP_OK)
        trim_if_time_locked(h);
    heap_unlock(h);
    return result;
}

enum heap_result heap_free(struct heap *h, const void *address)
{
    return lock_and_free(h, address, false);
}

enum heap_result heap_free_exact(struct heap *h, const void *address)
{
    return lock_and_free(h, address, true);
}

/* --- threads ----------------------------------------------------------------- */

/* Returns whether threads may have caches, and there is room for them. In a heap that is nearly
 * full, the next call would have to take a cache away again. */
static bool has_room_for_tcaches_locked(const struct heap *h)
{
    enum { PART = 16 };
    size_t ngranules = h->chunks.region.nbytes / GRANULE_BYTES;
    return h->has_tcaches && h->chunks.ledger.live_granules < ngranules - ngranules / PART;
}

/* A cache is a slot of the library's own, so it needs room, and its thread may then hold free
 * slots: both are a reason to sweep again before the next HEAP_NO_SPACE. */
void heap_join(struct heap *h, struct thread *t)
{
    bool may_read = threads_may_read();
    heap_lock(h);
    if (h->chunks.region.base != NULL && t->tcache == NULL && may_read &&
        has_room_for_tcaches_locked(h)) {
        tcache_open_locked(&h->spans, t);
        h->is_swept = false;
    }
    heap_unlock(h);
}

/* The slots that the thread held go to others; it must not get a cache again from a destructor
 * that runs later and calls malloc. */
void heap_leave(struct heap *h, struct thread *t)
{
    heap_lock(h);
    tcache_close_locked(&h->spans, t);
    assert(t->tcache == NULL);
    t->has_ended = true;
    heap_unlock(h);
}

/* The other threads do not exist in the child, but their windows still hold slots. */
void heap_forked_locked(struct heap *h, struct thread *mine)
{
    tcaches_close_others_locked(&h->spans, mine);
}

/* The slow path of a thread's allocation: one lock for as many slots as a window has. If the system
 * refuses the barrier, the first thread has had its cache before that was known, and gives it up
 * here. */
bool heap_refill(struct heap *h, struct thread *t, unsigned sizeclass)
{
    assert(sizeclass < NCLASSES);
    bool may_read = threads_may_read();
    heap_lock(h);
    if (!may_read)
        tcache_close_locked(&h->spans, t);
    bool filled = tcache_refill_locked(&h->spans, t, sizeclass);
    trim_if_peak_locked(h);
    unlock_after_taking(h, HEAP_NO_SPACE, NULL, 0);
    return filled;
}

/* A span may have become empty, and so its pages free: so this is a place to trim, like a free. */
void heap_refile_locked(struct heap *h, const void *address)
{
    spans_refile(&h->spans, address);
    trim_if_time_locked(h);
}

/* By the time that the lock is taken, the address may lie in another span, or in none. */
void heap_refile(struct heap *h, const void *address)
{
    heap_lock(h);
    heap_refile_locked(h, address);
    heap_unlock(h);
}

/* --- resizing -------------------------------------------------------------- */

/* Returns whether an object that shrinks to `length` granules in place would pin what it gives up:
 * the free chunk behind it begins in the middle of what was one piece, so the next object of the
 * old size does not fit there.
 *
 *     [------ this ------][free] => [this][------ free ------]
 *
 * It pins nothing worth a move if that chunk is no longer than the object itself: then a heap in
 * which objects have shrunk is at most half free behind them. What fits a slot moves into one. */
static bool pins_what_it_gives_up(const struct heap *h, const struct chunk *c, uint32_t length,
                                  size_t nbytes)
{
    struct chunk behind;
    if (length >= c->length)
        return false;
    if (nbytes <= h->spans.object_max)
        return true;
    uint64_t nfree = c->length - length;
    if (ledger_find(&h->chunks.ledger, c->start + c->length, &behind) && behind.state == 0 &&
        behind.start < h->chunks.ledger.b.top) /* not the tail: that is one piece anyway */
        nfree += behind.length;
    return nfree > length;
}

/* Resizes what was found where it lies; returns false if it cannot be done there, or, unless
 * `anyway`, if that would pin what the object gives up. */
static bool resize_place_locked(struct heap *h, const struct location *p, size_t nbytes,
                                bool anyway)
{
    assert(p->in_span || p->place.chunk.state != 0); /* what is free has no size */
    uint32_t slack, length = chunk_granules(h, nbytes, &slack);
    if (p->in_span) /* the state says how large the object is, so only that changes */
        return spans_resize(&h->spans, &p->slot, nbytes);
    if (length == 0 || (!anyway && pins_what_it_gives_up(h, &p->place.chunk, length, nbytes)))
        return false;
    return chunks_resize(&h->chunks, &p->place.chunk, length, slack);
}

/* The one resize in place: judges, resizes and counts; or changes nothing, as a refused free. The
 * caller trims if it is time to. */
INLINED enum heap_result resize_locked(struct heap *h, const void *address, size_t nbytes,
                                       bool anyway)
{
    struct location p;
    struct object found;
    assert(h->chunks.list.head == NULL);
    enum heap_result result = judge_locked(h, address, &p, &found);
    if (result != HEAP_OK)
        return result;
    if (!resize_place_locked(h, &p, nbytes, anyway))
        result = HEAP_NO_SPACE;
    if (h->counters != NULL && result == HEAP_OK)
        count_resized_locked(h, found.size, nbytes);
    if (result == HEAP_OK && nbytes > found.size)
        trim_if_peak_locked(h);
    return result;
}

/* A heap with a free list has none of this: Mem_* has no call that resizes. */
enum heap_result heap_resize_locked(struct heap *h, const void *address, size_t nbytes)
{
    return resize_locked(h, address, nbytes, true);
}

enum heap_result heap_resize(struct heap *h, const void *address, size_t nbytes, bool anyway)
{
    heap_lock(h);
    enum heap_result result = resize_locked(h, address, nbytes, anyway);
    if (result == HEAP_OK)
        trim_if_time_locked(h);
    void *object = (void *)(uintptr_t)address;
    /* From its start: what it has grown by is the part that did not have them yet. */
    unlock_after_taking(h, result, &object, nbytes);
    return result;
}

/* --- objects with more room than they have bytes -------------------------------
 *
 * An object has a slot or a chunk as its room, and its label says how much of that is slack:
 *
 *     [------- nbytes -------][ slack ]        slack = room - nbytes
 *     [------------- slack -----------]        relabelled to 0: freed, and held by malloc/hard.c
 *
 * The label is the state of a slot, or the record of a chunk. To change it moves nothing, and
 * neither takes nor gives back memory. */

void heap_harden_locked(struct heap *h, bool guard, bool clears, uint64_t random)
{
    enum { PART = 4 };
    size_t page = os_page_bytes();
    assert(h->spans.nheld == 0);
    /* Of smaller slices, or with larger pages, too much would be closed. */
    if (guard && h->spans.slice_shift == SLICE_SHIFT && page <= SLICE_BYTES / PART)
        h->spans.guard_bytes = (uint32_t)page;
    h->spans.clears = clears;
    h->spans.random = random;
}

/* What the judge does not set stays NULL. */
enum heap_result heap_locate_locked(const struct heap *h, const void *address, struct object *found,
                                    struct location *at)
{
    *found = (struct object){0};
    return judge_locked(h, address, at, found);
}

/* Writes another label down. No other thread can free the object meanwhile, since none has a cache.
 * Returns false if the label cannot say so much slack: a state says less than the largest slot has,
 * and a record less than 4 GiB. */
static bool relabel_locked(struct heap *h, const struct location *at, size_t nbytes)
{
    size_t slack = location_room(at) - nbytes;
    assert(nbytes <= location_room(at));
    /* A chunk keeps its length, so this asks for no memory, and gives none up. */
    if (!at->in_span)
        return slack < LEDGER_RESERVED &&
               chunks_resize(&h->chunks, &at->place.chunk, at->place.chunk.length, (uint32_t)slack);
    const struct span *span = pagemap_span(&h->spans, at->slot.slice);
    return slot_can_hold(at->slot.bytes, nbytes) &&
           state_resize_object(span->states, span->nslots, at->slot.index, (uint32_t)slack);
}

/* The size that an object had when it was located. */
static size_t located_size(const struct location *at)
{
    return location_room(at) - (at->in_span ? at->slot.slack : at->place.chunk.state - 1);
}

bool heap_relabel_locked(struct heap *h, const struct location *at, size_t nbytes)
{
    if (!relabel_locked(h, at, nbytes))
        return false;
    if (h->counters != NULL)
        count_resized_locked(h, located_size(at), nbytes);
    return true;
}

/* Counts and trims as each free does. */
void heap_free_located_locked(struct heap *h, const struct location *at)
{
    give_back_locked(h, at);
    if (h->counters != NULL)
        count_freed_locked(h, located_size(at));
    trim_if_time_locked(h);
}

/* Takes a chunk as an object of *room bytes, stores which part of it was clean, and relabels it:
 * after that, the chunks no longer know. An object of no byte has a chunk of one granule or
 * nothing: an aligned slot, or one of a larger class, would have more room. */
static enum heap_result take_roomy_chunk(struct heap *h, size_t nbytes, size_t *room, size_t align,
                                         void **object, struct interval *clean)
{
    struct location at;
    struct object found;
    bool exact = *room == GRANULE_BYTES;
    enum heap_result result =
        find_place_locked(h, *room, align, exact ? FIT_BEST : FIT_ANY, object);
    *clean = chunks_clean_part(&h->chunks);
    if (result == HEAP_OK)
        result = judge_locked(h, *object, &at, &found);
    if (result != HEAP_OK)
        return result;
    *room = location_room(&at);
    /* The ledger may have had no room for a record of the rest; nor may a record say the slack. */
    bool suits = !exact || *room == GRANULE_BYTES;
    if (suits && relabel_locked(h, &at, nbytes))
        return HEAP_OK;
    give_back_locked(h, &at);
    return HEAP_NO_SPACE;
}

/* A slot is taken with its slack at once. All else is a chunk, or a slot where there is hardly any
 * room left. */
enum heap_result heap_take_room_locked(struct heap *h, size_t nbytes, size_t *room, size_t align,
                                       void **object, struct object *zero)
{
    assert(nbytes <= *room && h->chunks.list.head == NULL);
    unsigned sizeclass = heap_sizeclass(h, *room, align);
    bool by_class = sizeclass < NCLASSES && (*room > GRANULE_BYTES || align <= GRANULE_BYTES);
    enum heap_result result = HEAP_OK;
    *object = by_class ? spans_take(&h->spans, nbytes, sizeclass) : NULL;
    struct interval clean = chunks_clean_part(&h->chunks);
    if (*object != NULL)
        *room = sizeclass_bytes(sizeclass);
    else
        result = take_roomy_chunk(h, nbytes, room, align, object, &clean);
    if (result == HEAP_OK && zero != NULL)
        *zero = part_of(h, clean, *object, nbytes);
    if (result == HEAP_OK && h->counters != NULL)
        count_taken_locked(h, nbytes);
    return result;
}

/* --- counting ---------------------------------------------------------------- */

bool heap_close_tcaches_locked(struct heap *h)
{
    bool closed = tcaches_revoke_locked(&h->spans);
    h->has_tcaches = h->has_tcaches && !closed;
    return closed;
}

/* Takes all caches away, and then counts what is there already: as taken, since the counters
 * begin with all 0. */
bool heap_count_locked(struct heap *h, struct counters *counters)
{
    assert(counters != NULL && counters->nallocated == 0); /* it begins with all 0 */
    struct piece p;
    h->counters = NULL;
    if (!heap_close_tcaches_locked(h))
        return false;
    h->counters = counters;
    counters->region_bytes = h->chunks.region.nbytes;
    for (size_t at = 0; heap_piece_locked(h, at, &p); at += p.nbytes)
        if (p.kind == PIECE_OBJECT)
            count_taken_locked(h, p.size);
    return true;
}

/* SPDX-License-Identifier: MIT
 *
 * span.c - checks objects that must begin at a multiple, and objects that change their size in
 * place (core/heap.h), against a map of the owner of each granule.
 *
 * The regions are a small one, which has no spans, and larger ones, which have. When a heap
 * without spans reports that it has no space, there must be no run of free granules that is long
 * enough, unless there is no room for records.
 */
#include "unit.h"

#include <string.h>

#include "core/pieces.h"

enum { REGION_SMALL = 1 << 16, REGION_MIDDLE = 1 << 20, REGION_LARGE = 1 << 24 };
enum { ALIGN_MAX = 1 << 13 };
enum { GRANULES = REGION_LARGE / 16, OBJECTS_MAX = 30000 };

/* The region begins 48 bytes behind a page, so that positions and addresses differ in alignment. */
static _Alignas(ALIGN_MAX) unsigned char memory[REGION_LARGE + ALIGN_MAX];
static unsigned char *const region = memory + 4096 + 48;
static MemNodePtr head; /* The head of the free list, where there is one. */
static struct heap heap;
static int owner[GRANULES]; /* 0 means that no object owns the granule. */
static struct held {
    unsigned char *start;
    size_t size;
} held[OBJECTS_MAX + 1];
static int nheld;
static size_t region_bytes;
static uint64_t dice, nplaced, nrefused, ngrown, nshrunk, nfull;

static size_t first_of(const unsigned char *p)
{
    return (size_t)(p - region) / 16;
}

static size_t granules_of(size_t size)
{
    return size == 0 ? 1 : (size + 15) / 16;
}

static void own(int id, const unsigned char *start, size_t size, int expected)
{
    for (size_t g = first_of(start); g < first_of(start) + granules_of(size); g++) {
        assert_true(owner[g] == expected || owner[g] == id);
        owner[g] = id;
    }
}

static void fill(int i)
{
    memset(held[i].start, i % 251 + 1, held[i].size);
}

static void assert_filled(int i, size_t size)
{
    for (size_t k = 0; k < size; k++)
        assert_int_equal(held[i].start[k], i % 251 + 1);
}

/* Returns true if there is room for the records of three more chunks, wherever the records are. */
static bool has_records(void)
{
    struct ledger *l = &heap.chunks.ledger;
    return l->b.top * 16 + (l->b.tree[BY_ADDRESS].nwords + 3) * CHUNK_COST <= l->nbytes;
}

static bool is_free_run(size_t first, size_t n)
{
    size_t end = first;
    while (end < GRANULES && end - first < n && owner[end] == 0)
        end++;
    return end - first == n;
}

static void assert_no_run(size_t size, size_t align)
{
    size_t end =
        /* The two granules are TAIL_SPARE. */
        heap.chunks.ledger.b.top + ledger_tail(&heap.chunks.ledger).length - 2;
    for (size_t g = 0;
         !(heap.spans.object_max > 0) && has_records() && g + granules_of(size) <= end; g++)
        if ((uintptr_t)(region + g * 16) % align == 0)
            assert_false(is_free_run(g, granules_of(size)));
}

static void place(size_t size, size_t align)
{
    void *object;
    enum heap_result result = heap_take_aligned(&heap, size, align, &object);
    if (result != HEAP_OK) {
        assert_int_equal(result, HEAP_NO_SPACE);
        assert_no_run(size, align);
        nfull++;
        return;
    }
    assert_int_equal((uintptr_t)object % align, 0);
    held[++nheld] = (struct held){object, size};
    own(nheld, object, size, 0);
    fill(nheld);
    nplaced++;
}

static void resize(int i, size_t size)
{
    struct held *o = &held[i];
    size_t keep = o->size < size ? o->size : size;
    size_t next = first_of(o->start) + granules_of(o->size);
    enum heap_result result = heap_resize(&heap, o->start, size, true);
    assert_filled(i, keep);
    if (result != HEAP_OK) {
        assert_int_equal(result, HEAP_NO_SPACE);
        assert_true((heap.spans.object_max > 0) || granules_of(size) > granules_of(o->size));
        if (!(heap.spans.object_max > 0) && has_records() && next < heap.chunks.ledger.b.top)
            assert_false(is_free_run(next, granules_of(size) - granules_of(o->size)));
        nrefused++;
        return;
    }
    nshrunk += size < o->size;
    ngrown += size > o->size;
    own(0, o->start, o->size, i);
    own(i, o->start, size, 0);
    o->size = size;
    fill(i);
}

static void release(int i)
{
    assert_filled(i, held[i].size);
    assert_int_equal(heap_free_exact(&heap, held[i].start + 1),
                     held[i].size > 1 ? HEAP_INSIDE : HEAP_NO_OBJECT);
    assert_int_equal(heap_free_exact(&heap, held[i].start), HEAP_OK);
    assert_int_equal(heap_free_exact(&heap, held[i].start), HEAP_FREE);
    own(0, held[i].start, held[i].size, i);
    if (i != nheld) {
        held[i] = held[nheld];
        own(i, held[i].start, held[i].size, nheld);
        fill(i);
    }
    nheld--;
}

static void assert_objects_found(void)
{
    for (int i = 1; i <= nheld; i++) {
        struct object found;
        assert_int_equal(heap_find_exact(&heap, held[i].start, &found), HEAP_OK);
        assert_ptr_equal(found.start, held[i].start);
        assert_int_equal(found.size, held[i].size);
    }
}

/* A wrong address of any kind changes nothing: the next check would find it. */
static void poke(void)
{
    unsigned char *p = region + rnd(&dice, (uint32_t)region_bytes);
    struct object found;
    int i = owner[first_of(p)];
    bool inside = i > 0 && (size_t)(p - held[i].start) < held[i].size;
    assert_int_equal(heap_find(&heap, p, &found) == HEAP_OK,
                     inside || (i > 0 && p == held[i].start));
    if (inside) {
        assert_ptr_equal(found.start, held[i].start);
        assert_int_equal(found.size, held[i].size);
    } else if (i == 0 || p != held[i].start) {
        assert_int_not_equal(heap_free_exact(&heap, p), HEAP_OK);
        assert_int_not_equal(heap_free(&heap, p), HEAP_OK);
    }
}

static void one_call(size_t size_max, uint32_t free_percent, int nheld_max)
{
    size_t size = rnd(&dice, (uint32_t)size_max); /* 0 is possible. */
    uint32_t what = rnd(&dice, 100);
    if (what < free_percent && nheld > 0)
        release(1 + (int)rnd(&dice, (uint32_t)nheld));
    else if (what % 3 == 0 && nheld > 0)
        resize(1 + (int)rnd(&dice, (uint32_t)nheld), size);
    else if (nheld < nheld_max)
        place(size, rnd(&dice, 3) > 0 ? 1 : (size_t)1 << rnd(&dice, 14));
    poke();
}

/* When everything was freed, the memory is one chunk [C5]. */
static void release_all(void)
{
    while (nheld > 0)
        release(1 + (int)rnd(&dice, (uint32_t)nheld));
    assert_int_equal(check_heap(&heap), HEAP_OK);
    if (heap.chunks.list.head == NULL)
        spans_sweep(&heap.spans);
    assert_int_equal(heap.spans.nheld, 0);
    assert_int_equal(ledger_tail(&heap.chunks.ledger).length, (region_bytes - CHUNK_COST) / 16);
}

/* With a free list, returns the chunk that the fit must choose. */
static void *expected_by(enum fit fit, size_t size)
{
    MemNodePtr chosen = NULL;
    for (MemNodePtr node = head; node != NULL; node = node->next) {
        if ((size_t)node->size < granules_of(size) * 16)
            continue;
        bool better = chosen == NULL || (fit == FIT_BEST && node->size < chosen->size) ||
                      (fit == FIT_WORST && node->size > chosen->size);
        if (better)
            chosen = node;
    }
    return chosen;
}

static void place_by(enum fit fit, size_t size)
{
    void *object, *expected = fit == FIT_ANY ? NULL : expected_by(fit, size);
    enum heap_result result = heap_take(&heap, size, fit, &object);
    if (result != HEAP_OK) {
        assert_int_equal(result, HEAP_NO_SPACE);
        assert_null(expected);
        nfull++;
        return;
    }
    if (fit != FIT_ANY)
        assert_ptr_equal(object, expected);
    held[++nheld] = (struct held){object, size};
    own(nheld, object, size, 0);
    fill(nheld);
    nplaced++;
}

static void one_call_with_a_list(size_t size_max, uint32_t free_percent)
{
    if (rnd(&dice, 100) < free_percent && nheld > 0)
        release(1 + (int)rnd(&dice, (uint32_t)nheld));
    else if (nheld < OBJECTS_MAX)
        place_by(rnd(&dice, 2) ? FIT_ANY : (enum fit)rnd(&dice, 3), rnd(&dice, (uint32_t)size_max));
    poke();
}

static void history(size_t nbytes, int nruns, int ncalls, int nheld_max, bool listed)
{
    region_bytes = nbytes;
    for (int run = 0; run < share_of(nruns); run++) {
        size_t size_max = (size_t)16 << rnd(&dice, 10);
        memset(owner, 0, sizeof owner);
        heap_open_locked(&heap, (struct region){.base = region, .nbytes = region_bytes},
                         listed ? &head : NULL);
        for (int i = 0; i < ncalls; i++) {
            uint32_t free_percent = i / (ncalls / 5) % 2 ? 60 : 25;
            if (listed)
                one_call_with_a_list(size_max, free_percent);
            else
                one_call(size_max, free_percent, nheld_max);
            if (i % (ncalls / 20) == 0) {
                assert_int_equal(check_heap(&heap), HEAP_OK);
                assert_objects_found();
            }
        }
        release_all();
    }
}

static void test_any_history(void **state)
{
    (void)state;
    dice = 20;
    history(REGION_SMALL, 60, 1000, 400, false);
    assert_true(nplaced > (unsigned)share_of(5000) && nrefused > (unsigned)share_of(500));
    assert_true(ngrown > (unsigned)share_of(500) && nshrunk > (unsigned)share_of(500));
    assert_true(nfull > (unsigned)share_of(100));
}

static void test_any_history_with_spans(void **state)
{
    (void)state;
    dice = 21;
    nfull = 0;
    history(REGION_MIDDLE, 20, 20000, OBJECTS_MAX, false);
    history(REGION_LARGE, 10, 20000, OBJECTS_MAX, false);
    assert_true(nplaced > (unsigned)share_of(50000) && (share() > 1 || nfull > 20));
}

/* The classic heap gets calls with a style and without. None of its free memory has to wait for a
 * sweep. */
static void test_any_history_with_spans_and_a_list(void **state)
{
    (void)state;
    dice = 22;
    nfull = nplaced = 0;
    history(REGION_SMALL, 20, 1000, OBJECTS_MAX, true);
    history(REGION_MIDDLE, 20, 5000, OBJECTS_MAX, true);
    history(REGION_LARGE, 5, 20000, OBJECTS_MAX, true);
    assert_true(nplaced > (unsigned)share_of(50000) && (share() > 1 || nfull > 20));
}

/* The heap is filled completely; after that, freed memory is usable for other sizes, too. */
static void test_spans_make_room(void **state)
{
    (void)state;
    void *object;
    size_t n = 0, payload = 0;
    region_bytes = REGION_LARGE;
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = region_bytes}, NULL);
    static void *small[REGION_LARGE / 16];
    for (; heap_take(&heap, 16 + n % 7 * 100, FIT_ANY, &object) == HEAP_OK; n++) {
        small[n] = object;
        payload += 16 + n % 7 * 100;
    }
    assert_true(payload > REGION_LARGE / 10 * 8);
    assert_int_equal(heap_take(&heap, 100000, FIT_ANY, &object), HEAP_NO_SPACE);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(heap_free(&heap, small[i]), HEAP_OK);
    assert_int_equal(heap_take(&heap, REGION_LARGE - 48, FIT_ANY, &object), HEAP_OK);
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

/* A heap gives a small object a slot that is too large before it reports that it has no space. */
static void test_a_larger_slot_is_the_last_resort(void **state)
{
    (void)state;
    void *object, *large = NULL, *again;
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = REGION_LARGE}, NULL);
    for (int i = 0; i < 20; i++)
        assert_int_equal(heap_take(&heap, 5000, FIT_ANY, &large), HEAP_OK);
    while (heap_take(&heap, 5000, FIT_ANY, &object) == HEAP_OK)
        ;
    while (heap_take(&heap, 100, FIT_ANY, &object) == HEAP_OK)
        ;
    assert_int_equal(heap_free(&heap, large), HEAP_OK);
    /* These are an eighth of the span. */
    assert_int_equal(heap_free(&heap, (char *)large - 5120), HEAP_OK);
    assert_int_equal(heap_take(&heap, 100, FIT_ANY, &again), HEAP_OK);
    struct object found;
    assert_int_equal(heap_find(&heap, (char *)again + 99, &found), HEAP_OK);
    assert_int_equal(found.size, 100);
    assert_true(again == large || again == (void *)((char *)large - 5120));
    assert_int_equal(heap_find(&heap, (char *)again + 100, &found), HEAP_NO_OBJECT);
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

static void test_sizeclasses(void **state)
{
    (void)state;
    for (unsigned nbytes = 0; nbytes <= SLOT_BYTES_MAX; nbytes++) {
        unsigned c = sizeclass_of(nbytes);
        assert_true(c < NCLASSES && sizeclass_bytes(c) >= nbytes);
        unsigned slack = sizeclass_bytes(c) - nbytes;
        assert_true(c == 0 || sizeclass_bytes(c - (nbytes > 8192 ? 4 : 1)) < nbytes);
        assert_true(nbytes <= SMALL_MAX || slack < sizeclass_bytes(c) / (nbytes > 8192 ? 3 : 8));
        assert_true(nbytes > 1024 || sizeclass_bytes(c) - nbytes <= SLACK_NEAR_MAX);
    }
}

/* Checks the multiplication that finds a slot and tells whether an address is the start of it. */
static void test_reciprocals(void **state)
{
    (void)state;
    for (unsigned c = 0; c < NCLASSES; c++) {
        uint32_t bytes = sizeclass_bytes(c), reciprocal = slot_reciprocal(bytes);
        unsigned shift = is_wide(bytes) ? WIDE_SHIFT : 0;
        uint32_t span_bytes = SLICE_BYTES * nslices_max(bytes), n = span_bytes / bytes;
        if (is_wide(bytes))
            assert_true(n >= WIDE_SLOTS && n < STATES_AT_ONCE);
        assert_int_equal(bytes % (is_wide(bytes) ? 1024 : 16), 0);
        for (uint32_t into = 0; into < span_bytes; into += 1u << shift) {
            struct slot_quotient q = slot_divide(into >> shift, reciprocal);
            assert_int_equal(q.index, into / bytes);
            assert_int_equal(slot_begins_at(q, reciprocal), into % bytes == 0);
            assert_int_equal((uint64_t)q.fraction * bytes >> 32, into % bytes);
        }
    }
}

/* Checks the smallest class whose size is a multiple of align against a search of the classes one
 * by one. */
static void test_aligned_sizeclasses(void **state)
{
    (void)state;
    for (unsigned align = 1; align <= SLICE_BYTES / 8; align *= 2)
        for (unsigned nbytes = 1; nbytes <= SLOT_BYTES_MAX; nbytes++) {
            unsigned best = sizeclass_of(nbytes);
            while (sizeclass_bytes(best) % align != 0)
                best++;
            assert_int_equal(sizeclass_bytes(sizeclass_of(sizeclass_room(nbytes, align))),
                             sizeclass_bytes(best));
        }
}

static void test_a_lost_span_is_seen(void **state)
{
    (void)state;
    void *object;
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = REGION_LARGE}, NULL);
    for (int i = 0; i < 100; i++)
        assert_int_equal(heap_take(&heap, 1000, FIT_ANY, &object), HEAP_OK);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    struct queues *queues = region_at(&heap.chunks.region, heap.spans.pagemap);
    uint32_t *queue = &queues[FOR_OBJECTS].partial[sizeclass_of(1000)], first = *queue;
    *queue = 0;
    assert_int_equal(check_heap(&heap), HEAP_DAMAGED);
    *queue = first;
    heap.spans.nheld++;
    assert_int_equal(check_heap(&heap), HEAP_DAMAGED);
}

/* The records of many chunks have lain where the page map is put later: their bytes must be
 * cleared before they are read as a map. */
static void test_the_map_where_records_were(void **state)
{
    (void)state;
    static void *small[50000];
    void *large, *object;
    struct object found;
    memset(memory, 0, sizeof memory);
    heap_open_locked(&heap,
                     (struct region){.base = region, .nbytes = REGION_LARGE, .is_zero = true},
                     &head);
    for (size_t i = 0; i < 50000; i++)
        assert_int_equal(heap_take(&heap, 16, FIT_BEST, &small[i]), HEAP_OK);
    size_t nrecords = ledger_nbytes(&heap.chunks.ledger);
    for (size_t i = 0; i < 50000; i++)
        assert_int_equal(heap_free(&heap, small[i]), HEAP_OK);
    assert_int_equal(heap_take(&heap, REGION_LARGE - nrecords, FIT_BEST, &large), HEAP_OK);
    assert_int_equal(heap_take(&heap, 100, FIT_ANY, &object), HEAP_OK);
    assert_true((char *)object >= (char *)large + (REGION_LARGE - nrecords));
    assert_int_equal(heap_find(&heap, (char *)large + 12345, &found), HEAP_OK);
    assert_ptr_equal(found.start, large);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    assert_int_equal(heap_free(&heap, object), HEAP_OK);
    assert_int_equal(heap_free(&heap, large), HEAP_OK);
}

/* Opens a heap, and takes objects of 100 bytes until one of them lies in a span. */
static unsigned char *open_with_a_span(void)
{
    void *object;
    struct slot slot;
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = REGION_LARGE}, NULL);
    do
        assert_int_equal(heap_take(&heap, 100, FIT_ANY, &object), HEAP_OK);
    while (!spans_find(&heap.spans, (size_t)((unsigned char *)object - region), &slot));
    return object;
}

/* A slot that was freed after it was found has no size to change. */
static void test_resize_of_a_slot_that_was_freed(void **state)
{
    (void)state;
    struct slot slot, now;
    void *object = open_with_a_span();
    size_t offset = (size_t)((unsigned char *)object - region);
    assert_true(spans_find(&heap.spans, offset, &slot));
    assert_true(slot.is_object && spans_resize(&heap.spans, &slot, 90));
    void *other; /* so that the span stays */
    assert_int_equal(heap_take(&heap, 100, FIT_ANY, &other), HEAP_OK);
    assert_int_equal(heap_free(&heap, object), HEAP_OK);
    assert_false(spans_resize(&heap.spans, &slot, 100));
    assert_true(spans_find(&heap.spans, offset, &now));
    assert_false(now.is_object);
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

/* The spans are counted once 64 were made, and as many as half of all there are. */
static void test_when_spans_are_counted(void **state)
{
    (void)state;
    static const struct {
        uint32_t nmade, nheld;
        bool is_due;
    } cases[] = {{63, 10, false}, {64, 10, true}, {64, 128, true}, {64, 130, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct spans *s = &heap.spans;
        open_with_a_span();
        uint32_t there = s->nheld;
        s->nmade = cases[i].nmade;
        s->nheld = cases[i].nheld;
        assert_int_equal(spans_count_if_due(s), cases[i].is_due);
        assert_int_equal(s->nmade, cases[i].is_due ? 0 : cases[i].nmade);
        s->nheld = there;
    }
}

/* The search for a free slot goes on behind the one that was taken last. */
static void test_a_freed_slot_is_not_the_next(void **state)
{
    (void)state;
    void *first, *next;
    open_with_a_span();
    assert_int_equal(heap_take(&heap, 100, FIT_ANY, &first), HEAP_OK);
    assert_int_equal(heap_free(&heap, first), HEAP_OK);
    assert_int_equal(heap_take(&heap, 100, FIT_ANY, &next), HEAP_OK);
    assert_ptr_equal(next, (unsigned char *)first + 112);
}

/* The page map of a large region is opened as slices are used: each entry can be written to. */
static void test_a_page_map_that_is_opened_by_and_by(void **state)
{
    enum { SIZE = 30000, NSLICES = 5000 };
    struct region r;
    void *object;
    (void)state;
    if (!mappings_are_cheap())
        skip();
    assert_int_equal(region_reserve(&r, (size_t)1 << 33), REGION_OK);
    r.open_bytes = region_open_bytes(r.nbytes, 0);
    heap = (struct heap){0};
    heap_open_locked(&heap, r, NULL);
    while (heap.spans.nheld < NSLICES)
        assert_int_equal(heap_take(&heap, SIZE, FIT_ANY, &object), HEAP_OK);
    assert_true(pagemap_slice(&heap.spans, (uintptr_t)object) > NSLICES);
    assert_true(chunks_have_unwritten(&heap.chunks)); /* and the rest of it is not open yet */
    assert_int_equal(check_heap(&heap), HEAP_OK);
    munmap(r.base, r.nbytes);
}

/* An object was where the page map comes to lie: what that has written to is cleared, and the rest
 * is not touched. */
static void test_a_page_map_where_an_object_was(void **state)
{
    enum { OBJECT = 3 << 20, REGION_SHIFT = 33, MAP_BYTES = 1 << (REGION_SHIFT - 10) };
    struct region r;
    void *object;
    (void)state;
    if (!mappings_are_cheap())
        skip();
    for (int stepwise = 0; stepwise < 2; stepwise++) {
        assert_int_equal(region_reserve(&r, (size_t)1 << REGION_SHIFT), REGION_OK);
        r.open_bytes = region_open_bytes(r.nbytes, 0);
        heap = (struct heap){0};
        heap_open_locked(&heap, r, NULL);
        heap.spans.keeps_pagemap = stepwise;
        assert_int_equal(heap_take(&heap, OBJECT, FIT_ANY, &object), HEAP_OK);
        memset(object, 0xff, OBJECT);
        assert_int_equal(heap_free(&heap, object), HEAP_OK);
        assert_int_equal(heap_take(&heap, 100, FIT_ANY, &object), HEAP_OK);
        char *map = (char *)region_at(&heap.chunks.region, heap.spans.pagemap);
        size_t page = os_page_bytes(), touched = OBJECT + SLICE_BYTES;
        char *rest = (char *)(((uintptr_t)map + touched) / page * page);
        assert_true(map < rest && rest < map + MAP_BYTES);
        size_t untouched = (size_t)(map + MAP_BYTES - rest) / page * page;
        assert_int_equal(os_resident_bytes(rest, untouched), 0);
        assert_true(chunks_have_unwritten(&heap.chunks) == stepwise);
        while (heap.spans.nheld < OBJECT / 2 / sizeof(struct span)) /* their entries lie there */
            assert_int_equal(heap_take(&heap, 30000, FIT_ANY, &object), HEAP_OK);
        assert_int_equal(check_heap(&heap), HEAP_OK);
        munmap(r.base, r.nbytes);
    }
}

/* Records of many objects reached down to where the page map comes to lie. */
static void test_a_page_map_where_records_were(void **state)
{
    enum { BYTES = 1 << 20, LOW = BYTES / 8 * 5 };
    static void *small[BYTES / 32];
    struct region r;
    size_t n = 0;
    void *object;
    (void)state;
    assert_true(region_map(&r, BYTES));
    assert_true(r.is_zero);
    heap = (struct heap){0};
    heap_open_locked(&heap, r, NULL);
    while (heap_take(&heap, 1, FIT_BEST, &small[n]) == HEAP_OK)
        n++;
    while (n > 0)
        assert_int_equal(heap_free(&heap, small[--n]), HEAP_OK);
    assert_int_equal(heap_take(&heap, LOW, FIT_BEST, &object), HEAP_OK);
    assert_true(ledger_clean_end(&heap.chunks.ledger) < LOW / GRANULE_BYTES);
    assert_int_equal(heap_take(&heap, 100, FIT_ANY, &object), HEAP_OK);
    assert_true(heap.spans.nheld > 0);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    os_unmap(r.base, r.nbytes);
}

static void test_wrong_addresses(void **state)
{
    (void)state;
    void *object, *other;
    struct object found;
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = REGION_SMALL}, NULL);
    assert_int_equal(heap_take(&heap, 100, FIT_BEST, &object), HEAP_OK);
    assert_int_equal(heap_take(&heap, 100, FIT_BEST, &other), HEAP_OK);
    char *p = object;
    assert_int_equal(heap_resize(&heap, p + 1, 50, true), HEAP_INSIDE);
    assert_int_equal(heap_resize(&heap, p + 100, 50, true), HEAP_NO_OBJECT);
    /* `other` lies directly behind it. */
    assert_int_equal(heap_resize(&heap, p, 200, true), HEAP_NO_SPACE);
    assert_int_equal(heap_resize(&heap, p, SIZE_MAX, true), HEAP_NO_SPACE);
    assert_int_equal(heap_resize(&heap, &found, 50, true), HEAP_NOT_OURS);
    assert_int_equal(heap_find_exact(&heap, p + 99, &found), HEAP_INSIDE);
    assert_ptr_equal(found.start, p);
    assert_int_equal(heap_free_exact(&heap, other), HEAP_OK);
    assert_int_equal(heap_resize(&heap, p, 200, true), HEAP_OK);
    assert_int_equal(heap_resize(&heap, other, 50, true), HEAP_INSIDE);
    assert_int_equal(heap_take_aligned(&heap, 1, (size_t)1 << 40, &other), HEAP_NO_SPACE);
    assert_int_equal(heap_take_aligned(&heap, SIZE_MAX, 4096, &other), HEAP_NO_SPACE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_history),
        cmocka_unit_test(test_any_history_with_spans),
        cmocka_unit_test(test_any_history_with_spans_and_a_list),
        cmocka_unit_test(test_spans_make_room),
        cmocka_unit_test(test_sizeclasses),
        cmocka_unit_test(test_reciprocals),
        cmocka_unit_test(test_aligned_sizeclasses),
        cmocka_unit_test(test_a_larger_slot_is_the_last_resort),
        cmocka_unit_test(test_a_lost_span_is_seen),
        cmocka_unit_test(test_the_map_where_records_were),
        cmocka_unit_test(test_resize_of_a_slot_that_was_freed),
        cmocka_unit_test(test_when_spans_are_counted),
        cmocka_unit_test(test_a_freed_slot_is_not_the_next),
        cmocka_unit_test(test_a_page_map_that_is_opened_by_and_by),
        cmocka_unit_test(test_a_page_map_where_an_object_was),
        cmocka_unit_test(test_a_page_map_where_records_were),
        cmocka_unit_test(test_wrong_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

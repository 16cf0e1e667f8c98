/* SPDX-License-Identifier: MIT
 *
 * lookup.c - checks what a lookup without the lock says of every byte of a heap with slots and
 * chunks (core/lookup.h) against what the test knows of its objects, also while the heap is
 * changing.
 */
#include "unit.h"

#include <string.h>

#include "core/heap.h"
#include "core/lookup.h"

enum { REGION_BYTES = 1 << 21, NOBJECTS = 600, NONE = -1, FREED = -2 };

static unsigned char *region; /* aligned to slices */
static struct heap heap;
static struct {
    unsigned char *start;
    size_t size;
    bool live;
} object[NOBJECTS];
static int32_t owner[REGION_BYTES]; /* the object that a byte belongs to; NONE; FREED */

/* Maps the region. The pages on both sides of it cannot be read: a lookup that reads there ends the
 * test. */
static int map_region(void **state)
{
    (void)state;
    unsigned char *all = mmap(NULL, REGION_BYTES + 2 * SLICE_BYTES, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        return -1;
    region = all + SLICE_BYTES - (uintptr_t)all % SLICE_BYTES;
    return mprotect(region, REGION_BYTES, PROT_READ | PROT_WRITE);
}

/* Small objects in slots, larger ones in chunks, of which every third is freed. */
static void fill_heap(void)
{
    uint64_t dice = 42;
    memset(region, 0, REGION_BYTES);
    heap = (struct heap){0};
    heap_open_single(&heap, (struct region){.base = region, .nbytes = REGION_BYTES}, true, true);
    for (int i = 0; i < REGION_BYTES; i++)
        owner[i] = NONE;
    for (int i = 0; i < NOBJECTS; i++) {
        size_t size = rnd(&dice, 4) == 0 ? 4000 + rnd(&dice, 4000) : rnd(&dice, 500);
        void *start;
        assert_int_equal(heap_take(&heap, size, FIT_ANY, &start), HEAP_OK);
        object[i].start = start;
        object[i].size = size;
        object[i].live = true;
    }
    for (int i = 0; i < NOBJECTS; i += 3) {
        assert_int_equal(heap_free_exact(&heap, object[i].start), HEAP_OK);
        object[i].live = false;
    }
    for (int i = 0; i < NOBJECTS; i++)
        for (size_t k = 0; k < object[i].size; k++)
            owner[(size_t)(object[i].start - region) + k] = object[i].live ? i : FREED;
}

static void test_every_byte(void **state)
{
    (void)state;
    fill_heap();
    for (int at = 0; at < REGION_BYTES; at++) {
        struct lookup_result p = {0};
        enum heap_result result = lookup_heap(&heap, region + at, &p);
        if (owner[at] >= 0) {
            assert_int_equal(result, HEAP_OK);
            assert_ptr_equal(p.start, object[owner[at]].start);
            assert_int_equal(p.size, object[owner[at]].size);
        } else if (owner[at] == FREED) {
            assert_int_equal(result, HEAP_FREE);
            assert_true(p.start <= region + at && (size_t)(region + at - p.start) < p.size);
        } else {
            assert_true(result == HEAP_FREE || result == HEAP_NO_OBJECT ||
                        (result == HEAP_OK && p.size == 0)); /* an object without a byte */
        }
    }
}

static void test_addresses_outside(void **state)
{
    (void)state;
    struct lookup_result p;
    fill_heap();
    const void *const outside[] = {NULL, (void *)((uintptr_t)region - 1), region + REGION_BYTES, &p,
                                   (void *)UINTPTR_MAX};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        assert_int_equal(lookup_heap(&heap, outside[i], &p), HEAP_NOT_OURS);
}

/* LK3: while the spans or the ledger change, no lookup says what it read. */
static void test_changes(void **state)
{
    (void)state;
    struct lookup_result p;
    fill_heap();
    heap.spans.changes++;
    for (int i = 0; i < NOBJECTS; i++)
        assert_int_equal(lookup_heap(&heap, object[i].start, &p), HEAP_CHANGING);
    heap.spans.changes++;
    heap.chunks.ledger.changes++;
    int nchanging = 0;
    for (int i = 0; i < NOBJECTS; i++)
        nchanging += lookup_heap(&heap, object[i].start, &p) == HEAP_CHANGING;
    assert_true(nchanging > 0 && nchanging < NOBJECTS); /* slots need no ledger */
    heap.chunks.ledger.changes++;
    assert_int_equal(lookup_heap(&heap, object[1].start, &p), HEAP_OK);
}

/* A view finds objects in small slots as lookup_heap does, and none once the spans have changed. */
static void test_view(void **state)
{
    (void)state;
    struct lookup_view view;
    struct lookup_result p, q;
    int nfound = 0;
    fill_heap();
    assert_true(lookup_view_open(&heap, &view));
    for (int at = 0; at < REGION_BYTES; at++)
        if (lookup_object(&view, (uintptr_t)region + (uintptr_t)at, &p)) {
            assert_int_equal(lookup_heap(&heap, region + at, &q), HEAP_OK);
            assert_ptr_equal(p.start, q.start);
            assert_int_equal(p.size, q.size);
            nfound++;
        }
    assert_true(nfound > NOBJECTS);
    assert_false(lookup_object(&view, (uintptr_t)region - 1, &p));
    assert_false(lookup_object(&view, (uintptr_t)region + REGION_BYTES, &p));
    heap.spans.changes++;
    assert_false(lookup_view_open(&heap, &(struct lookup_view){0}));
    for (int i = 0; i < NOBJECTS; i++)
        assert_false(lookup_object(&view, (uintptr_t)object[i].start, &p));
}

/* LK2: a state array outside the region, or partly so, and a back-reference to below the page map
 * are damage. */
static void test_damage_is_seen(void **state)
{
    (void)state;
    struct lookup_result p;
    struct slot slot;
    int nslots = 0;
    fill_heap();
    for (int i = 1; i < NOBJECTS; i += 3) {
        if (!spans_find(&heap.spans, (size_t)(object[i].start - region), &slot))
            continue;
        nslots++;
        struct span *span = pagemap_span(&heap.spans, slot.slice), was = *span;
        unsigned char *const outside[] = {NULL, region - 64, region + REGION_BYTES - 1,
                                          region + REGION_BYTES, region + REGION_BYTES + 64};
        for (size_t k = 0; k < sizeof outside / sizeof *outside; k++) {
            span->states = outside[k];
            assert_int_equal(lookup_heap(&heap, object[i].start, &p), HEAP_DAMAGED);
        }
        *span = was;
        span->back = slot.slice; /* one entry below the first */
        assert_int_equal(lookup_heap(&heap, object[i].start, &p), HEAP_DAMAGED);
        heap.spans.changes++; /* or it is being changed */
        assert_int_equal(lookup_heap(&heap, object[i].start, &p), HEAP_CHANGING);
        heap.spans.changes++;
        *span = was;
        assert_int_equal(lookup_heap(&heap, object[i].start, &p), HEAP_OK);
    }
    assert_true(nslots > 0);
}

/* LK2: entries of the page map that say anything lead no lookup out of the region. */
static void test_damaged_entries(void **state)
{
    (void)state;
    struct lookup_result p;
    uint64_t dice = 7;
    fill_heap();
    for (int round = 0; round < 200; round++) {
        uint32_t slice = 1 + rnd(&dice, heap.spans.nclear);
        struct span *span = pagemap_span(&heap.spans, slice), was = *span;
        for (size_t i = 0; i < sizeof *span; i++)
            if (rnd(&dice, 3) == 0)
                ((unsigned char *)span)[i] = (unsigned char)rnd(&dice, 256);
        for (int k = 0; k < 200; k++) {
            const unsigned char *address = region + rnd(&dice, REGION_BYTES);
            enum heap_result result = lookup_heap(&heap, address, &p);
            assert_true(result == HEAP_OK || result == HEAP_FREE || result == HEAP_NO_OBJECT ||
                        result == HEAP_DAMAGED);
        }
        *span = was;
    }
}

/* LK2: a state array where memory is reserved and not open would be a fault to read. */
static void test_a_state_array_in_the_gap(void **state)
{
    enum { LARGE = 64 << 20, SIZE = 100 };
    struct region r;
    struct lookup_result p;
    struct lookup_view view;
    struct slot slot;
    void *start, *last;
    (void)state;
    assert_int_equal(region_reserve(&r, LARGE), REGION_OK);
    heap = (struct heap){0};
    heap_open_single(&heap, r, true, true);
    assert_int_equal(heap_take(&heap, SIZE, FIT_ANY, &start), HEAP_OK);
    for (int i = 0; i < 10 * NOBJECTS; i++)
        assert_int_equal(heap_take(&heap, SIZE, FIT_ANY, &last), HEAP_OK);
    assert_true(lookup_view_open(&heap, &view));
    assert_true(lookup_object(&view, (uintptr_t)start, &p));
    assert_true(spans_find(&heap.spans, region_offset(&r, start), &slot));
    struct span *span = pagemap_span(&heap.spans, slot.slice), was = *span;
    unsigned char *low = region_at(&r, heap.chunks.ledger.guard.low);
    assert_true(low < r.base + LARGE / 2);
    unsigned char *const closed[] = {low - 1, low, r.base + LARGE / 2,
                                     r.base + LARGE - SLICE_BYTES};
    for (size_t k = 0; k < sizeof closed / sizeof *closed; k++) {
        span->states = closed[k];
        assert_int_equal(lookup_heap(&heap, start, &p), HEAP_DAMAGED);
        assert_false(lookup_object(&view, (uintptr_t)start, &p));
    }
    *span = was;
    assert_int_equal(lookup_heap(&heap, start, &p), HEAP_OK);
    munmap(r.base, LARGE);
}

/* The page map has fewer entries than the region has slices, or says so: the others are not read,
 * and what lies there is not found by spans. */
static void test_a_page_map_that_ends(void **state)
{
    (void)state;
    struct lookup_view whole, view;
    struct lookup_result p;
    fill_heap();
    assert_true(lookup_view_open(&heap, &whole));
    uint32_t nclear = heap.spans.nclear, pagemap = heap.spans.pagemap;
    for (uint32_t n = 0; n <= nclear; n += nclear / 4) {
        heap.spans.nclear = n;
        for (int i = 0; i < NOBJECTS; i++) {
            size_t slice = (size_t)(object[i].start - region) >> heap.spans.slice_shift;
            enum heap_result what = lookup_heap(&heap, object[i].start, &p);
            assert_true(slice < n ? what == (object[i].live ? HEAP_OK : HEAP_FREE)
                                  : what != HEAP_CHANGING && what != HEAP_DAMAGED);
        }
        if (lookup_view_open(&heap, &view))
            assert_true(view.slots.nbytes <= whole.slots.nbytes &&
                        view.slots.nbytes + SLICE_BYTES <= (size_t)n << heap.spans.slice_shift);
    }
    heap.spans.nclear = 0;
    heap.spans.changes++; /* and while that changes, nothing is known */
    for (int i = 0; i < NOBJECTS; i++)
        assert_int_equal(lookup_heap(&heap, object[i].start, &p), HEAP_CHANGING);
    heap.spans.changes++;
    heap.spans.nclear = nclear;
    heap.spans.pagemap = (REGION_BYTES - 64) / GRANULE_BYTES; /* it would end behind the region */
    assert_false(lookup_view_open(&heap, &view));
    for (int i = 0; i < NOBJECTS; i++)
        assert_int_not_equal(lookup_heap(&heap, object[i].start, &p), HEAP_CHANGING);
    heap.spans.pagemap = pagemap;
    heap.spans.nheld = 0;
    assert_false(lookup_view_open(&heap, &view));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_byte),
                                       cmocka_unit_test(test_addresses_outside),
                                       cmocka_unit_test(test_changes),
                                       cmocka_unit_test(test_view),
                                       cmocka_unit_test(test_damage_is_seen),
                                       cmocka_unit_test(test_damaged_entries),
                                       cmocka_unit_test(test_a_page_map_that_ends),
                                       cmocka_unit_test(test_a_state_array_in_the_gap)};
    return cmocka_run_group_tests(tests, map_region, NULL);
}

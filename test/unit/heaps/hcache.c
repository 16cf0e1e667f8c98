/* SPDX-License-Identifier: MIT
 *
 * hcache.c - checks the heap cache, the fast path of a heap of the caller's own (heaps/hcache.h),
 * against a list of objects: what it hands out, frees, resizes and refuses.
 */
#include "unit.h"

#include "core/pieces.h"
#include "heaps/hcache.h"

enum { REGION_BYTES = 1 << 21, NOBJECTS = 1500, NCALLS = 200000 };

static _Alignas(SLICE_BYTES) unsigned char region[REGION_BYTES];
static _Alignas(16) unsigned char memory[16384]; /* of the heap cache */
static struct heap heap;
static struct hcache *cache;
static struct {
    unsigned char *start;
    size_t size;
} object[NOBJECTS];
static int nobjects;

static void open_cache_of(size_t nbytes)
{
    heap = (struct heap){0};
    heap_open_single(&heap, (struct region){.base = region, .nbytes = nbytes}, true, true);
    cache = (struct hcache *)(void *)memory;
    assert_true(hcache_bytes(nbytes) <= sizeof memory);
    hcache_open(cache, &heap, hcache_bytes(nbytes));
    nobjects = 0;
}

static void open_cache(void)
{
    open_cache_of(REGION_BYTES);
}

/* As mem_alloc does: the window, then another window. */
static void *take(size_t size)
{
    void *start = hcache_take(cache, size);
    return start != NULL ? start : hcache_take_slow(cache, &heap, size);
}

/* As mem_free does. */
static bool give_back(const void *start, size_t *size)
{
    bool refile = false;
    if (!hcache_free(cache, start, size, &refile))
        return false;
    if (refile)
        heap_refile_locked(&heap, start);
    return true;
}

static void add(size_t size)
{
    unsigned char *start = take(size);
    if (start == NULL)
        return;
    for (int i = 0; i < nobjects; i++) /* it overlaps no other object */
        assert_true(start + size <= object[i].start || object[i].start + object[i].size <= start ||
                    size == 0 || object[i].size == 0);
    object[nobjects].start = start;
    object[nobjects++].size = size;
}

/* Every address of the object except its start is refused, and so is the start once it is free. */
static void remove_one(int i)
{
    size_t size = SIZE_MAX;
    for (size_t into = 1; into < GRANULE_BYTES; into += 3)
        assert_false(give_back(object[i].start + into, &size));
    bool near =
        object[i].size + SLACK_NEAR_MAX >= sizeclass_bytes(sizeclass_of(object[i].size) | 1);
    if (!give_back(object[i].start, &size)) { /* a slack that a byte cannot tell is not for it */
        assert_false(near);
        assert_int_equal(heap_free_exact(&heap, object[i].start), HEAP_OK);
    } else {
        assert_int_equal(size, object[i].size);
    }
    assert_false(give_back(object[i].start, &size));
    object[i] = object[--nobjects];
}

static void resize_one(int i, size_t size)
{
    size_t old = SIZE_MAX;
    if (!hcache_resize(cache, object[i].start, size, &old))
        return;
    assert_int_equal(old, object[i].size);
    object[i].size = size;
}

/* HC1, WI1: each bit in a mask is a slot of the window's span whose state says that it is free. */
static int count_mask_bits(void)
{
    int nbits = 0;
    for (unsigned c = 0; c < cache->nwindows; c++) {
        const struct hcache_window *w = &cache->window[c];
        if (w->slice == NO_SLICE) {
            assert_true(w->at.mask == 0);
            continue;
        }
        const struct span *span = pagemap_span(&heap.spans, w->slice);
        size_t first = (size_t)(w->at.states - span->states);
        assert_int_equal(span->status, SPAN_OWNED);
        assert_int_equal(w->slot_bytes, span->slot_bytes);
        assert_int_equal(first % STATES_AT_ONCE, 0); /* WI2 */
        assert_int_equal((uintptr_t)w->at.base,
                         pagemap_address(&heap.spans, w->slice) + first * w->slot_bytes);
        for (size_t i = 0; i < STATES_AT_ONCE; i++)
            if (w->at.mask >> i & 1) {
                assert_true(first + i < span->nslots);
                assert_int_equal(w->at.states[i], 0);
                nbits++;
            }
    }
    return nbits;
}

static void assert_objects(void)
{
    struct object found;
    count_mask_bits();
    struct recount n;
    assert_null(check_fault_locked(&heap, &n));
    assert_true(hcache_is_valid(cache, &heap, hcache_bytes(REGION_BYTES)));
    for (int i = 0; i < nobjects; i++) {
        assert_int_equal(heap_find_locked(&heap, object[i].start, &found), HEAP_OK);
        assert_int_equal(found.size, object[i].size);
    }
    assert_int_equal(tally_heap(&heap).nobjects, nobjects);
}

static void test_random_calls(void **state)
{
    (void)state;
    uint64_t dice = 11;
    open_cache();
    for (int call = 0; call < NCALLS; call++) {
        size_t size = rnd(&dice, 3) == 0 ? rnd(&dice, 3000) : rnd(&dice, 100);
        if (nobjects < NOBJECTS && rnd(&dice, 100) < 50)
            add(size);
        else if (nobjects > 0 && rnd(&dice, 4) == 0)
            resize_one((int)rnd(&dice, (uint32_t)nobjects), size);
        else if (nobjects > 0)
            remove_one((int)rnd(&dice, (uint32_t)nobjects));
        if (call % (NCALLS / 20) == 0)
            assert_objects();
    }
}

/* An object takes its bit out of the mask of its class, and the free of it puts the bit back. */
static void test_masks(void **state)
{
    (void)state;
    size_t size, was = 0;
    open_cache();
    assert_int_equal(count_mask_bits(), 0);
    for (size_t asked = 1; asked < 700; asked += 13) {
        unsigned char *first = take(asked);
        assert_non_null(first);
        int nbits = count_mask_bits();
        unsigned char *second = hcache_take(cache, asked);
        if (second == NULL) /* the slack does not fit into the state, or this was the last slot */
            continue;
        assert_int_equal(count_mask_bits(), nbits - 1);
        assert_false(hcache_resize(cache, second + GRANULE_BYTES / 2, asked, &was));
        assert_true(hcache_resize(cache, second, asked - 1, &was));
        assert_int_equal(was, asked);
        assert_false(hcache_resize(cache, second, 2 * asked + 200, &was));
        assert_int_equal(count_mask_bits(), nbits - 1);
        assert_true(give_back(second, &size));
        assert_int_equal(size, asked - 1);
        assert_int_equal(count_mask_bits(), nbits);
        assert_ptr_equal(hcache_take(cache, asked), second); /* the lowest bit comes first */
    }
}

/* HC3: once the windows are closed and all objects are free, the region is one free chunk. */
static void test_all_goes_back(void **state)
{
    (void)state;
    open_cache();
    size_t before = tally_heap(&heap).largest_free;
    while (nobjects < NOBJECTS)
        add((size_t)nobjects % 700);
    assert_true(tally_heap(&heap).largest_free < before);
    while (nobjects > 0)
        remove_one(nobjects / 2);
    hcache_close(cache, &heap);
    assert_int_equal(cache->nslices, 0);
    assert_int_equal(tally_heap(&heap).largest_free, before);
    add(100); /* and it opens again */
    assert_int_equal(nobjects, 1);
    assert_objects();
}

static void test_wild_addresses(void **state)
{
    (void)state;
    uint64_t dice = 5;
    size_t size;
    open_cache();
    assert_false(give_back(region, &size)); /* HC4: no window is open */
    while (nobjects < 300)
        add(rnd(&dice, 300));
    const void *const wild[] = {NULL, (void *)((uintptr_t)region - 16), region + REGION_BYTES,
                                &size, (void *)UINTPTR_MAX};
    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++)
        assert_false(give_back(wild[i], &size));
    assert_objects();
}

/* As hcache_take, which must find a slot if the window of the size's own class knows of a free one,
 * and a state can say the slack. */
static void *take_from_window(size_t size)
{
    unsigned sizeclass = heap_sizeclass(&heap, size, 1);
    bool has_slot = sizeclass < cache->nwindows && cache->window[sizeclass].at.mask != 0 &&
                    sizeclass_bytes(sizeclass) - size <= SLACK_NEAR_MAX;
    void *start = hcache_take(cache, size);
    assert_int_equal(start != NULL, has_slot);
    return start;
}

/* Each size gets a slot of its own class, which is the smallest that holds it. */
static void take_smallest_slots(size_t nbytes)
{
    unsigned ntaken = 0;
    open_cache_of(nbytes);
    for (size_t size = HCACHE_MAX; size > 0; size--) { /* larger slots are at hand then */
        unsigned char *const both[] = {take(size), take_from_window(size)};
        for (int i = 0; i < 2; i++) {
            if (both[i] == NULL) /* the slack does not fit into the state */
                continue;
            ntaken++;
            uint32_t slice = pagemap_slice(&heap.spans, (uintptr_t)both[i]);
            uint32_t smallest = sizeclass_bytes(heap_sizeclass(&heap, size, 1));
            assert_int_equal(pagemap_span(&heap.spans, slice)->slot_bytes, smallest);
            assert_int_equal(heap_free_exact(&heap, both[i]), HEAP_OK);
        }
    }
    assert_true(ntaken > heap.spans.object_max / 2); /* larger ones have no slots in such a heap */
}

/* In the two smaller heaps the largest slots have the last window. */
static void test_the_smallest_slot(void **state)
{
    (void)state;
    take_smallest_slots(1 << 14);
    take_smallest_slots(1 << 16);
    take_smallest_slots(REGION_BYTES);
}

/* Gives `field` another value, expects that this is seen, and restores it. */
#define SEEN(field, value)                                                                         \
    do {                                                                                           \
        __typeof__(field) was = (field);                                                           \
        (field) = (__typeof__(field))(value);                                                      \
        assert_true((field) != was);                                                               \
        assert_false(hcache_is_valid(cache, &heap, hcache_bytes(REGION_BYTES)));                   \
        (field) = was;                                                                             \
        assert_true(hcache_is_valid(cache, &heap, hcache_bytes(REGION_BYTES)));                    \
    } while (0)

/* Each number of the heap cache follows from the heap. */
static void test_damage_is_seen(void **state)
{
    (void)state;
    open_cache();
    assert_true(hcache_is_valid(cache, &heap, hcache_bytes(REGION_BYTES)));
    struct hcache_window *first = &cache->window[0];
    SEEN(first->slice, 1); /* the heap has no spans yet */
    SEEN(first->slot_bytes, 16);
    while (nobjects < 100)
        add(100);
    unsigned c = 0;
    while (cache->window[c].slice == NO_SLICE)
        c++;
    struct hcache_window *w = &cache->window[c], *other = c > 0 ? w - 1 : w + 1;
    struct span *span = pagemap_span(&heap.spans, w->slice);
    SEEN(cache->nwindows, cache->nwindows - 1);
    SEEN(cache->by_size[1], cache->by_size[1] + 1);
    SEEN(cache->nslices, cache->nslices - 1);
    SEEN(cache->nslices, 0);
    SEEN(cache->base, cache->base + 16);
    SEEN(cache->pagemap, cache->pagemap + 1);
    SEEN(cache->slice_shift, cache->slice_shift + 1);
    SEEN(w->slice, heap.spans.nclear + 1);
    SEEN(w->slice, w->slice + 1); /* the slice behind it is no span of that class */
    SEEN(w->slot_bytes, w->slot_bytes + 16);
    SEEN(w->at.base, w->at.base + 16);
    SEEN(w->at.states, w->at.states + 1);
    SEEN(w->at.states, span->states - 1);
    SEEN(w->at.states, span->states + span->nslots);
    SEEN(w->at.mask, w->at.mask | 1); /* the first slot is an object */
    SEEN(span->status, SPAN_PARTIAL);
    SEEN(span->sizeclass, span->sizeclass + 1);
    SEEN(span->slot_bytes, 0);
    other->slice = w->slice; /* two windows on one span */
    assert_false(hcache_is_valid(cache, &heap, hcache_bytes(REGION_BYTES)));
    *other = (struct hcache_window){0};
    *w = (struct hcache_window){0}; /* the span is owned, and no window has it */
    assert_false(hcache_is_valid(cache, &heap, hcache_bytes(REGION_BYTES)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_calls),
                                       cmocka_unit_test(test_masks),
                                       cmocka_unit_test(test_all_goes_back),
                                       cmocka_unit_test(test_wild_addresses),
                                       cmocka_unit_test(test_the_smallest_slot),
                                       cmocka_unit_test(test_damage_is_seen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

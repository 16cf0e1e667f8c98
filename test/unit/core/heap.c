/* SPDX-License-Identifier: MIT
 *
 * heap.c - checks how addresses are judged and sizes are taken (src/core/heap.h), with the
 * modules below (region, os) and beside it (check): every address of a small region against the
 * model, and sizes that no small region can hold.
 *
 * Links test/support/model.c.
 */
#include "unit.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/pieces.h"
#include "base/os.h"
#include "model.h"

enum { AROUND = 64, REGION_MAX = 4096 };

static _Alignas(16) unsigned char memory[REGION_MAX + 2 * AROUND], copy[sizeof memory];
static unsigned char *const region = memory + AROUND;
static struct heap heap;
static MemNodePtr head;
static struct model model;
static uint64_t dice;

static void open_heap(size_t nbytes)
{
    dice = 88172645463325252u + nbytes;
    memset(memory, 0, sizeof memory);
    model_open(&model, nbytes);
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = nbytes}, &head);
}

/* --- every address ------------------------------------------------------------- */

/* Returns what heap.h promises for the position, computed from the model. */
static enum heap_result expected_at(ptrdiff_t position)
{
    size_t at = (size_t)position;
    struct model_chunk tail = model_tail(&model);
    if (position < 0 || at >= model.region_bytes)
        return HEAP_NOT_OURS;
    if (model_find(&model, at) != NULL)
        return HEAP_OK;
    for (size_t i = 0; i < model.n; i++) {
        const struct model_chunk *c = &model.chunk[i];
        if (at >= c->start && at < c->start + c->nbytes)
            return c->size == 0 ? HEAP_FREE : HEAP_NO_OBJECT;
    }
    return at < tail.start + tail.nbytes ? HEAP_FREE : HEAP_NO_OBJECT;
}

static uint64_t nseen[HEAP_FREE + 1];

static void judge(ptrdiff_t position)
{
    struct object found = {0};
    enum heap_result expected = expected_at(position);
    nseen[expected]++;
    assert_int_equal(heap_find(&heap, region + position, &found), expected);
    if (expected != HEAP_OK) {
        assert_int_equal(heap_free(&heap, region + position), expected);
        return;
    }
    const struct model_chunk *c = model_find(&model, (size_t)position);
    assert_ptr_equal(found.start, region + c->start);
    assert_int_equal(found.size, c->size);
}

static void judge_every_address(void)
{
    struct ledger before = heap.chunks.ledger;
    memcpy(copy, memory, sizeof memory);
    for (ptrdiff_t at = -AROUND; at < (ptrdiff_t)model.region_bytes + AROUND; at++)
        judge(at);
    assert_memory_equal(copy, memory, sizeof memory); /* It was refused, and nothing has changed. */
    assert_memory_equal(&before.b, &heap.chunks.ledger.b, sizeof before.b);
}

static void one_call(size_t size_max)
{
    void *object;
    size_t size = 1 + rnd(&dice, (uint32_t)size_max), at = rnd(&dice, (uint32_t)model.region_bytes);
    if (rnd(&dice, 5) < 2) {
        assert_int_equal(model_free(&model, at), heap_free(&heap, region + at) == HEAP_OK);
        return;
    }
    ptrdiff_t expected = model_alloc(&model, size, MODEL_BEST);
    assert_int_equal(heap_take(&heap, size, FIT_BEST, &object) == HEAP_OK, expected >= 0);
    if (expected >= 0)
        assert_ptr_equal(object, region + expected);
}

static void test_every_address_is_judged(void **state)
{
    (void)state;
    for (size_t nbytes = 16; nbytes <= REGION_MAX; nbytes = nbytes * 3 / 2 / 16 * 16 + 16) {
        open_heap(nbytes);
        judge_every_address();
        for (int i = 0; i < 60; i++) {
            one_call(nbytes / (1 + rnd(&dice, 12)) + 1);
            judge_every_address();
        }
    }
    assert_true(nseen[HEAP_OK] && nseen[HEAP_NOT_OURS] && nseen[HEAP_NO_OBJECT] &&
                nseen[HEAP_FREE]);
}

static void test_addresses_at_the_ends_of_memory(void **state)
{
    (void)state;
    open_heap(4096);
    struct object found;
    const uintptr_t addresses[] = {0, 1, UINTPTR_MAX, UINTPTR_MAX / 2, UINTPTR_MAX / 2 + 1};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        assert_int_equal(heap_find(&heap, (void *)addresses[i], &found), HEAP_NOT_OURS);
        assert_int_equal(heap_free(&heap, (void *)addresses[i]), HEAP_NOT_OURS);
    }
    /* Without a region no address is the heap's. */
    struct heap none = {0};
    void *object;
    assert_int_equal(heap_free(&none, NULL), HEAP_NOT_OURS);
    assert_int_equal(heap_free(&none, &found), HEAP_NOT_OURS);
    assert_int_equal(heap_take(&none, 1, FIT_BEST, &object), HEAP_NO_REGION);
}

/* --- sizes ----------------------------------------------------------------------- */

static void assert_no_space(struct heap *h, size_t size)
{
    void *object = NULL;
    for (int fit = FIT_BEST; fit <= FIT_FIRST; fit++)
        assert_int_equal(heap_take(h, size, (enum fit)fit, &object), HEAP_NO_SPACE);
    assert_null(object);
}

/* Sizes around every power of two above the region are refused: nothing wraps. */
static void test_sizes_of_64_bits_in_a_page(void **state)
{
    (void)state;
    open_heap(4096);
    assert_no_space(&heap, 4065);
    for (int shift = 12; shift < 64; shift++)
        for (size_t i = 0; i <= 64; i++) {
            assert_no_space(&heap, ((size_t)1 << shift) + i);
            assert_no_space(&heap, ((size_t)1 << shift) - 1 + ((size_t)1 << (shift - 1)) + i);
        }
    for (size_t i = 0; i <= 64; i++)
        assert_no_space(&heap, SIZE_MAX - i);
    assert_no_space(&heap, REGION_BYTES_MAX);
    /* This is one granule if it is cut to 32 bits. */
    assert_no_space(&heap, REGION_BYTES_MAX + 16);
    void *object;
    assert_int_equal(heap_take(&heap, 4064, FIT_BEST, &object), HEAP_OK);
}

static void take_in_the_largest(struct heap *h, unsigned char *base)
{
    struct object found;
    void *object, *second;
    size_t most = (REGION_BYTES_MAX - CHUNK_COST) / 16 * 16;
    assert_no_space(h, most + 1);
    assert_no_space(h, SIZE_MAX);
    assert_int_equal(heap_take(h, most, FIT_BEST, &object), HEAP_OK);
    assert_int_equal(heap_find(h, base + most - 1, &found), HEAP_OK);
    assert_true(found.size == most && found.start == base);
    assert_int_equal(heap_find(h, base + most, &found), HEAP_NO_OBJECT);
    assert_int_equal(heap_find(h, base + REGION_BYTES_MAX - 1, &found), HEAP_NO_OBJECT);
    assert_int_equal(heap_find(h, base + REGION_BYTES_MAX, &found), HEAP_NOT_OURS);
    assert_int_equal(heap_free(h, base + most / 2), HEAP_OK);
    assert_int_equal(heap_take(h, most - 4096, FIT_BEST, &object), HEAP_OK);
    assert_int_equal(heap_take(h, 1, FIT_BEST, &second), HEAP_OK);
    assert_ptr_equal(second, base + (most - 4096));
    assert_int_equal(heap_free(h, (unsigned char *)second + 1), HEAP_NO_OBJECT);
    assert_int_equal(heap_free(h, object), HEAP_OK);
    assert_int_equal(heap_free(h, (unsigned char *)second - 1), HEAP_FREE);
    assert_int_equal(check_heap(h), HEAP_OK);
}

/* This takes only address space: the page of the ledger is the only one that gets memory. */
static void test_the_largest_region(void **state)
{
    (void)state;
    struct heap large = {0};
    unsigned char *base = mmap(NULL, REGION_BYTES_MAX, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        skip();
    heap_open_locked(&large, (struct region){.base = base, .nbytes = REGION_BYTES_MAX}, NULL);
    take_in_the_largest(&large, base);
    munmap(base, REGION_BYTES_MAX);
}

static void test_any_size_that_fits_fits(void **state)
{
    (void)state;
    for (size_t nbytes = 16; nbytes <= 256; nbytes += 16) {
        size_t most = nbytes > CHUNK_COST ? (nbytes - CHUNK_COST) / 16 * 16 : 0;
        for (size_t size = 1; size <= nbytes + 16; size++) {
            void *object;
            open_heap(nbytes);
            enum heap_result expected = size <= most ? HEAP_OK : HEAP_NO_SPACE;
            assert_int_equal(heap_take(&heap, size, FIT_WORST, &object), expected);
            assert_int_equal(model_alloc(&model, size, MODEL_WORST), size <= most ? 0 : -1);
            judge_every_address();
        }
    }
}

/* --- region and os ------------------------------------------------------------------ */

static void test_region_is_whole_pages_of_zeros(void **state)
{
    (void)state;
    size_t page = os_page_bytes();
    assert_int_equal(page, sysconf(_SC_PAGESIZE));
    const size_t sizes[] = {1, page - 1, page, page + 1, 10 * page + 7};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct region r;
        assert_true(region_map(&r, sizes[i]));
        assert_true(r.nbytes >= sizes[i] && r.nbytes < sizes[i] + page && r.nbytes % page == 0);
        assert_int_equal((uintptr_t)r.base % page, 0);
        for (size_t at = 0; at < r.nbytes; at++)
            assert_int_equal(r.base[at]++, 0);
        munmap(r.base, r.nbytes);
    }
}

static void test_region_refused_changes_nothing(void **state)
{
    (void)state;
    struct region r = {.base = region, .nbytes = 16};
    assert_false(region_map(&r, REGION_BYTES_MAX + 1));
    assert_false(region_map(&r, SIZE_MAX / 2));
    assert_false(region_map(&r, SIZE_MAX));
    assert_true(r.base == region && r.nbytes == 16);
}

static void test_region_offset_of_any_address(void **state)
{
    (void)state;
    const struct region r = {.base = region, .nbytes = 4096};
    assert_int_equal(region_offset(&r, region), 0);
    assert_int_equal(region_offset(&r, region + 4095), 4095);
    assert_true(region_offset(&r, region + 4096) >= r.nbytes);
    assert_true(region_offset(&r, region - 1) >= r.nbytes);
    assert_true(region_offset(&r, NULL) >= r.nbytes);
    assert_ptr_equal(region_at(&r, 3), region + 48);
    assert_true((unsigned char *)region_at(&r, UINT32_MAX) == region + ((size_t)UINT32_MAX * 16));
}

static int nbefore, nparent, nchild;

static void before_fork(void)
{
    nbefore++;
}

static void in_parent(void)
{
    nparent++;
}

static void in_child(void)
{
    nchild++;
}

static void test_os_at_fork(void **state)
{
    (void)state;
    int status;
    os_at_fork(before_fork, in_parent, in_child);
    pid_t child = fork();
    if (child == 0)
        _exit(nbefore == 1 && nparent == 0 && nchild == 1 ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(nbefore == 1 && nparent == 1 && nchild == 0);
}

/* --- check ---------------------------------------------------------------------------- */

/* An overrun leaves the objects and hits the records at the end. */
static void test_check_of_a_broken_ledger(void **state)
{
    (void)state;
    void *object;
    open_heap(4096);
    assert_int_equal(heap_take(&heap, 4064, FIT_BEST, &object), HEAP_OK);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    memset(object, 'x', 4096);
    assert_int_equal(check_heap(&heap), HEAP_DAMAGED);
    assert_int_equal(check_heap(&heap), HEAP_DAMAGED);
}

static void test_a_heap_without_a_region(void **state)
{
    (void)state;
    static struct heap none;
    struct object found;
    void *object;
    assert_int_equal(heap_take(&none, 1, FIT_BEST, &object), HEAP_NO_REGION);
    assert_int_equal(heap_find(&none, &found, &found), HEAP_NOT_OURS);
    assert_int_equal(heap_free(&none, &found), HEAP_NOT_OURS);
    assert_int_equal(check_heap(&none), HEAP_NO_REGION);
}

static void test_a_region_is_whole_granules(void **state)
{
    (void)state;
    void *object;
    for (size_t nbytes = 256; nbytes < 272; nbytes++) {
        open_heap(nbytes);
        assert_int_equal(heap_take(&heap, 224, FIT_BEST, &object), HEAP_OK);
        assert_int_equal(heap_take(&heap, 1, FIT_BEST, &object), HEAP_NO_SPACE);
        assert_int_equal(check_heap(&heap), HEAP_OK);
    }
}

/* Gives `field` another value, expects that this is seen, and restores it. */
#define SEEN(field, value)                                                                         \
    do {                                                                                           \
        __typeof__(field) was = (field);                                                           \
        (field) = (__typeof__(field))(value);                                                      \
        assert_true((field) != was);                                                               \
        assert_false(heap_has_constants_of(&heap, &like));                                         \
        (field) = was;                                                                             \
        assert_true(heap_has_constants_of(&heap, &like));                                          \
    } while (0)
/* Writes 2 over a bool. */
#define SEEN_BOOL(field)                                                                           \
    do {                                                                                           \
        unsigned char *at = (unsigned char *)&(field), was = *at;                                  \
        *at = 2;                                                                                   \
        assert_false(heap_has_constants_of(&heap, &like));                                         \
        *at = was;                                                                                 \
        assert_true(heap_has_constants_of(&heap, &like));                                          \
    } while (0)

/* Each number that no call changes is compared with that of a new heap of this size. */
static void test_constants(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char large[1 << 20];
    const struct region r = {.base = large, .nbytes = sizeof large};
    struct heap like;
    void *object;
    heap_open_single(&like, r, true, false);
    like.spans.chunks = &like.chunks;
    heap_open_single(&heap, r, true, false);
    assert_true(heap_has_constants_of(&heap, &like));
    struct chunks *c = &heap.chunks;
    struct ledger *l = &c->ledger;
    struct spans *s = &heap.spans;
    SEEN(c->region.base, large + 16);
    SEEN(c->region.nbytes, c->region.nbytes - 16);
    SEEN_BOOL(c->region.is_zero);
    SEEN(c->region.open_bytes, 4096);
    SEEN(c->list.head, &head);
    SEEN(c->list.region, &like.chunks.region);
    SEEN(c->list.ledger, &like.chunks.ledger);
    SEEN(c->clean, (void *)large);
    SEEN(c->unwritten.to, 1);
    SEEN(c->low_most, 1);
    SEEN(c->high_least, 1);
    SEEN(l->b.end, large);
    SEEN(l->nbytes, l->nbytes - 16);
    SEEN(l->guard.page, 256);
    SEEN(l->guard.wanted_low, 1);
    SEEN(l->guard.low, 1);
    SEEN(l->b.room, l->b.room - 16);
    SEEN(l->changes, 1);
    SEEN(l->used, l->nbytes / 16 + 1);
    SEEN(s->chunks, &like.chunks);
    SEEN(s->threads.first, (void *)large);
    SEEN(s->changes, 1);
    SEEN(s->slice_shift, s->slice_shift + 1);
    SEEN(s->skipped, s->skipped ^ 1);
    SEEN(s->object_max, s->object_max + 1);
    SEEN(s->nkept, s->nkept + 1);
    SEEN(s->nclear, (uint32_t)pagemap_nslices(s) + 1);
    SEEN(s->nshunned[0], NSHUNNED + 1);
    SEEN(s->nshunned[NCLASSES - 1], NSHUNNED + 1);
    SEEN_BOOL(s->keeps_pagemap);
    SEEN_BOOL(s->clears);
    SEEN(s->guard_bytes, 4096);
    SEEN(s->random, 1);
    SEEN(heap.counters, (void *)large);
    SEEN_BOOL(heap.has_tcaches);
    SEEN_BOOL(heap.keeps_pages);
    SEEN_BOOL(heap.gives_whole_pages);
    SEEN_BOOL(heap.wants_huge_pages);
    SEEN_BOOL(heap.has_huge_pages);
    SEEN(heap.huge.next, heap.huge.next + 1);
    SEEN_BOOL(heap.is_swept);
    heap.is_swept = true; /* it changes, but is a truth value */
    assert_true(heap_has_constants_of(&heap, &like));

    while (s->nheld == 0)
        assert_int_equal(heap_take(&heap, 100, FIT_ANY, &object), HEAP_OK);
    assert_true(heap_has_constants_of(&heap, &like));
    SEEN(s->nclear, s->nclear - 1);
    SEEN(l->used, l->high - 1);
}

/* The gap of a heap lies within the one that it began with, and goes in the end. */
static void test_constants_of_a_gap(void **state)
{
    (void)state;
    enum { LOW = 4096 / 16, HIGH = (REGION_BYTES_MAX - 4096) / 16 };
    struct heap like;
    const struct region r = {.base = region, .nbytes = REGION_BYTES_MAX};
    heap_open_single(&like, r, true, false);
    ledger_set_guard(&like.chunks.ledger, LOW, HIGH);
    like.spans.chunks = &like.chunks;
    heap = like;
    heap.chunks.list.region = &heap.chunks.region;
    heap.chunks.list.ledger = &heap.chunks.ledger;
    heap.spans.chunks = &heap.chunks;
    struct ledger *l = &heap.chunks.ledger;
    assert_true(heap_has_constants_of(&heap, &like));
    SEEN(l->guard.low, LOW - 1);
    SEEN(l->guard.low, HIGH);
    SEEN(l->b.room, l->b.room + 16);
    ledger_set_guard(l, LOW, HIGH + 1);
    assert_false(heap_has_constants_of(&heap, &like));
    ledger_set_guard(l, LOW + 8, HIGH - 8);
    assert_true(heap_has_constants_of(&heap, &like));
    l->b.top = l->high = l->used = LOW + 9;
    assert_false(heap_has_constants_of(&heap, &like));
    l->b.top = LOW + 8;
    assert_true(heap_has_constants_of(&heap, &like));
    ledger_end_gap(l);
    assert_true(heap_has_constants_of(&heap, &like)); /* guard.low stays where it was */
    SEEN(l->b.room, l->b.room - 16);
    ledger_end_gap(&like.chunks.ledger); /* but not in a heap that never had one */
    assert_false(heap_has_constants_of(&heap, &like));
}

/* --- huge pages ------------------------------------------------------------------ */

enum { MIB = 1 << 20, LARGE = 8 * MIB + MIB / 2 };

/* Returns whether the system was asked for huge pages at an address, as far as it tells. */
static bool wants_huge_pages(const unsigned char *address)
{
    char line[4096];
    uintptr_t start, end, at = (uintptr_t)address;
    bool is_there = false, wants = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
            is_there = at >= start && at < end;
        else if (is_there && strncmp(line, "VmFlags:", 8) == 0)
            wants = strstr(line, " hg") != NULL;
    }
    if (file != NULL)
        fclose(file);
    return wants;
}

/* Opens a heap in the first nbytes of memory that begins with a huge page, takes an object of
 * `taken` bytes, and lets it grow to eight and a half megabytes. Returns whether huge pages are
 * wanted at a position afterwards. */
static bool is_wanted_at(size_t nbytes, size_t taken, size_t position)
{
    enum { MAPPED = 14 * MIB };
    static struct clean clean;
    unsigned char *mapped = os_map(MAPPED);
    assert_non_null(mapped);
    unsigned char *base =
        (unsigned char *)(ceil_div((uintptr_t)mapped, HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES);
    struct heap *h = calloc(1, sizeof *h);
    assert_non_null(h);
    void *object;
    h->chunks.clean = &clean;
    heap_open_locked(h, (struct region){.base = base, .nbytes = nbytes, .is_zero = true}, NULL);
    h->wants_huge_pages = true;
    h->huge.again = UINT64_MAX; /* no page is timed, so none is found to be slow */
    assert_int_equal(heap_take(h, taken, FIT_ANY, &object), HEAP_OK);
    assert_ptr_equal(object, base);
    if (taken < LARGE)
        assert_int_equal(heap_resize(h, object, LARGE, true), HEAP_OK);
    bool wanted = wants_huge_pages(base + position);
    free(h);
    os_unmap(mapped, MAPPED);
    return wanted;
}

/* The huge page that an object ends in is asked for, too, unless it ends beyond the heap: what lies
 * there is not the heap's. */
static void test_huge_pages_end_in_the_heap(void **state)
{
    (void)state;
    if (!is_wanted_at(12 * MIB, LARGE, 0))
        skip(); /* the system has none, or does not tell */
    for (size_t taken = MIB; taken <= LARGE; taken += LARGE - MIB) {
        assert_true(is_wanted_at(12 * MIB, taken, 8 * MIB));
        assert_true(is_wanted_at(12 * MIB, taken, 9 * MIB + MIB / 2));
        assert_false(is_wanted_at(12 * MIB, taken, 10 * MIB));
        assert_true(is_wanted_at(9 * MIB, taken, 0));
        assert_false(is_wanted_at(9 * MIB, taken, 9 * MIB + MIB / 2));
    }
}

/* --- choices ---------------------------------------------------------------------------- */

/* An aligned object has a slot only if slots of that size are multiples of the alignment, are not
 * longer than the heap's longest, and hold it. Slots of small heaps are short. */
static void test_classes_of_aligned_objects(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char lump[1 << 16];
    unsigned nyes = 0, nno = 0;
    for (size_t nbytes = 4096; nbytes <= sizeof lump; nbytes *= 2) {
        heap_open_single(&heap, (struct region){.base = lump, .nbytes = nbytes}, true, false);
        size_t max = heap.spans.object_max;
        for (size_t align = 32; align <= max; align *= 2)
            for (size_t n = 0; n <= max; n++) {
                unsigned sizeclass = heap_sizeclass(&heap, n, align);
                if (sizeclass == NCLASSES) {
                    nno++;
                    continue;
                }
                uint32_t slot = sizeclass_bytes(sizeclass);
                assert_true(slot % align == 0 && n <= slot && slot <= max);
                nyes++;
            }
    }
    assert_true(nyes > 0 && nno > 0);
}

/* In a full heap nothing is free behind the last object, so that it pins what it gives up only if
 * that is more than it keeps. */
static void test_an_object_as_large_as_the_heap_shrinks(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char lump[1 << 20];
    void *object;
    heap = (struct heap){0};
    heap_open_locked(&heap, (struct region){.base = lump, .nbytes = sizeof lump}, NULL);
    size_t whole = (size_t)ledger_tail(&heap.chunks.ledger).length * GRANULE_BYTES;
    assert_int_equal(heap_take(&heap, whole, FIT_BEST, &object), HEAP_OK);
    assert_int_equal(ledger_tail(&heap.chunks.ledger).length, 0);
    assert_int_equal(heap_resize(&heap, object, whole / 2 - 16, false), HEAP_NO_SPACE);
    assert_int_equal(heap_resize(&heap, object, whole / 2 + 16, false), HEAP_OK);
    assert_int_equal(heap_resize(&heap, object, whole / 2 - 16, true), HEAP_OK);
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

/* Takes an object of nbytes, checks that it has a size of nbytes, and returns how much room it has:
 * how far the next object lies behind it. */
static size_t room_taken(size_t nbytes)
{
    void *object, *next;
    struct object found;
    assert_int_equal(heap_take(&heap, nbytes, FIT_BEST, &object), HEAP_OK);
    assert_int_equal(heap_take(&heap, 1, FIT_BEST, &next), HEAP_OK);
    assert_int_equal(heap_find_exact(&heap, object, &found), HEAP_OK);
    assert_int_equal(found.size, nbytes);
    size_t room = (size_t)((unsigned char *)next - (unsigned char *)object);
    assert_int_equal(heap_free_exact(&heap, next), HEAP_OK);
    assert_int_equal(heap_free_exact(&heap, object), HEAP_OK);
    return room;
}

/* A heap that gives whole pages rounds large objects up to 4 KiB, also when they are resized, and
 * no others. */
static void test_large_objects_get_whole_pages(void **state)
{
    (void)state;
    static _Alignas(16) unsigned char lump[1 << 20];
    enum { LEAST = 64 << 10, PART = 4096 };
    void *object, *behind;
    heap = (struct heap){0};
    heap_open_locked(&heap, (struct region){.base = lump, .nbytes = sizeof lump}, NULL);
    assert_int_equal(room_taken(LEAST + 1), LEAST + 16);
    heap.gives_whole_pages = true;
    assert_int_equal(room_taken(LEAST - PART + 1), LEAST - PART + 16);
    assert_int_equal(room_taken(LEAST - 16), LEAST - 16);
    assert_int_equal(room_taken(LEAST), LEAST);
    assert_int_equal(room_taken(LEAST + 1), LEAST + PART);
    assert_int_equal(room_taken(LEAST + PART - 1), LEAST + PART);
    assert_int_equal(room_taken(LEAST + PART), LEAST + PART);

    assert_int_equal(heap_take(&heap, 4 * LEAST, FIT_BEST, &object), HEAP_OK);
    assert_int_equal(heap_resize(&heap, object, 2 * LEAST + 1, true), HEAP_OK);
    assert_int_equal(heap_take(&heap, 1, FIT_BEST, &behind), HEAP_OK);
    assert_ptr_equal(behind, (unsigned char *)object + 2 * LEAST + PART);
    assert_int_equal(heap_resize(&heap, object, 2 * LEAST + PART, true), HEAP_OK);
    assert_int_equal(heap_resize(&heap, object, 2 * LEAST + PART + 1, true), HEAP_NO_SPACE);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    /* No region is as long as these: rounded up, the first has 2^32 granules. */
    assert_int_equal(heap_take(&heap, REGION_BYTES_MAX - 16, FIT_BEST, &object), HEAP_NO_SPACE);
    assert_int_equal(heap_take(&heap, SIZE_MAX, FIT_BEST, &object), HEAP_NO_SPACE);
}

/* Even where it is time to give memory back, only a call that is not refused does. */
static void test_a_refused_call_gives_nothing_back(void **state)
{
    enum { REGION = 128 * MIB };
    void *live, *freed, *small;
    struct ledger *l = &heap.chunks.ledger;
    (void)state;
    unsigned char *mapping =
        mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(mapping, MAP_FAILED);
    heap = (struct heap){0};
    heap_open_locked(&heap, (struct region){.base = mapping, .nbytes = REGION}, NULL);
    assert_int_equal(heap_take(&heap, 32 * MIB, FIT_BEST, &live), HEAP_OK);
    assert_int_equal(heap_take(&heap, 16 * MIB, FIT_BEST, &freed), HEAP_OK);
    assert_int_equal(heap_take(&heap, 100, FIT_BEST, &small), HEAP_OK);
    assert_int_equal(heap_free_exact(&heap, freed), HEAP_OK);
    uint32_t ndirty = l->ndirty;
    assert_true(ndirty >= 16 * MIB / GRANULE_BYTES);
    heap.trim.again = 0; /* as if it had been dirty for long [TR1] */
    l->least_dirty = ndirty;
    assert_int_equal(heap_free_exact(&heap, (char *)live + 1), HEAP_INSIDE);
    assert_int_equal(heap_free_exact(&heap, freed), HEAP_FREE);
    assert_int_equal(heap_resize(&heap, (char *)live + 1, 5, true), HEAP_INSIDE);
    assert_int_equal(l->ndirty, ndirty);
    assert_int_equal(heap_free_exact(&heap, small), HEAP_OK);
    assert_int_equal(l->ndirty, 0);
    assert_int_equal(munmap(mapping, REGION), 0);
}

/* What a heap gives up of its address space is no longer spare. */
static void test_spare_address_space(void **state)
{
    (void)state;
    const size_t nbytes = (size_t)1 << 30, most_open = (size_t)4 << 20, page = os_page_bytes();
    struct region r;
    if (!mappings_are_cheap())
        skip();
    assert_int_equal(region_reserve(&r, nbytes), REGION_OK);
    r.open_bytes = region_open_bytes(r.nbytes, 0);
    heap = (struct heap){0};
    heap_open_locked(&heap, r, NULL);
    size_t spare = heap_spare_bytes(&heap);
    assert_in_range(spare, nbytes - most_open, nbytes);
    for (size_t keep = spare / 2; keep > spare / 16; keep /= 2) {
        heap_give_up_spare(&heap, keep);
        assert_in_range(heap_spare_bytes(&heap), keep - 2 * page, keep + 2 * page);
    }
    munmap(r.base, r.nbytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_address_is_judged),
        cmocka_unit_test(test_addresses_at_the_ends_of_memory),
        cmocka_unit_test(test_sizes_of_64_bits_in_a_page),
        cmocka_unit_test(test_the_largest_region),
        cmocka_unit_test(test_any_size_that_fits_fits),
        cmocka_unit_test(test_region_is_whole_pages_of_zeros),
        cmocka_unit_test(test_region_refused_changes_nothing),
        cmocka_unit_test(test_region_offset_of_any_address),
        cmocka_unit_test(test_os_at_fork),
        cmocka_unit_test(test_check_of_a_broken_ledger),
        cmocka_unit_test(test_a_heap_without_a_region),
        cmocka_unit_test(test_a_region_is_whole_granules),
        cmocka_unit_test(test_constants),
        cmocka_unit_test(test_constants_of_a_gap),
        cmocka_unit_test(test_huge_pages_end_in_the_heap),
        cmocka_unit_test(test_classes_of_aligned_objects),
        cmocka_unit_test(test_an_object_as_large_as_the_heap_shrinks),
        cmocka_unit_test(test_large_objects_get_whole_pages),
        cmocka_unit_test(test_a_refused_call_gives_nothing_back),
        cmocka_unit_test(test_spare_address_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

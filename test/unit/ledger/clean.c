/* SPDX-License-Identifier: MIT
 *
 * clean.c - checks CL1 to CL4 (src/ledger/clean.h): random intervals against a map with a byte for
 * each granule, and whole heaps in which every byte that is said to be zero is read.
 */
#include "unit.h"

#include <string.h>

#include "base/os.h"
#include "core/heap.h"

enum { NGRANULES = 3000, FILL = 0xA5 };

static struct clean c;
static bool is_clean[NGRANULES + 1]; /* what is clean really; the last one never is */
static uint64_t dice = 1;

/* --- the intervals ------------------------------------------------------------------ */

/* Returns how many granules are in intervals. All of them are clean, by the map. */
static uint32_t check_against_map(void)
{
    uint32_t n = 0;
    assert_true(clean_is_valid(&c));
    for (uint32_t i = 0; i < c.n; i++)
        for (uint32_t g = c.interval[i].start; g < c.interval[i].end; g++, n++)
            assert_true(is_clean[g]);
    return n;
}

/* Takes [start, end) out of the map, and returns the longest piece of it that was clean there. */
static struct interval cut_map(uint32_t start, uint32_t end)
{
    struct interval longest = {0}, piece = {start, start};
    for (uint32_t g = start; g <= end; g++) {
        if (g < end && is_clean[g]) {
            piece.end = g + 1;
            continue;
        }
        if (piece.end - piece.start > longest.end - longest.start)
            longest = piece;
        piece = (struct interval){g + 1, g + 1};
    }
    memset(&is_clean[start], 0, end - start);
    return longest;
}

/* As clean_add. What the list forgets for it is one interval, no longer than any other. */
static void add_both(uint32_t start, uint32_t end)
{
    clean_add(&c, start, end);
    memset(&is_clean[start], true, end - start);
}

static void take_both(uint32_t start, uint32_t end, bool exact)
{
    uint32_t nclean = 0;
    for (uint32_t g = start; g < end; g++)
        nclean += is_clean[g];
    assert_in_range(clean_count(&c, start, end), exact ? nclean : 0, nclean);
    if (!clean_cut_fast(&c, start, end))
        clean_cut(&c, start, end);
    struct interval longest = cut_map(start, end);
    if (exact) {
        assert_int_equal(c.taken.end - c.taken.start, longest.end - longest.start);
        assert_int_equal(c.taken.start, longest.start);
    }
    assert_true(c.taken.start >= c.taken.end || (c.taken.start >= start && c.taken.end <= end));
}

/* Few and long intervals: none is forgotten, so list and map are equal. */
static void test_equal_to_the_map(void **state)
{
    (void)state;
    enum { NSTEPS = 40000, CELL = NGRANULES / CLEAN_MAX * 2 };
    uint32_t nclean = 0;
    clean_open(&c, NGRANULES);
    memset(is_clean, true, NGRANULES);
    for (int step = 0; step < share_of(NSTEPS); step++) {
        /* Each cell of the map has at most two intervals, one at each end of what is cut. */
        uint32_t start = rnd(&dice, NGRANULES / CELL) * CELL + rnd(&dice, CELL / 2);
        uint32_t end = start + 1 + rnd(&dice, CELL / 2), cell = start / CELL * CELL;
        if (rnd(&dice, 2) == 0)
            add_both(cell, start == cell ? end : cell + CELL);
        else
            take_both(start, end, true);
        nclean = check_against_map();
        for (uint32_t g = 0; g < NGRANULES; g++)
            nclean -= is_clean[g];
        assert_int_equal(nclean, 0);
    }
}

/* Intervals of any length and place: what is forgotten is not clean by the list, and never the
 * other way round. */
static void test_never_more_than_the_map(void **state)
{
    (void)state;
    enum { NSTEPS = 60000 };
    bool was_full = false;
    clean_open(&c, 0);
    memset(is_clean, false, NGRANULES);
    for (int step = 0; step < share_of(NSTEPS); step++) {
        uint32_t start = rnd(&dice, NGRANULES);
        uint32_t most = rnd(&dice, 4) == 0 ? NGRANULES - start : 20;
        uint32_t end = start + 1 + rnd(&dice, least(most, NGRANULES - start));
        if (rnd(&dice, 16) < 13)
            add_both(start, start + 1 + (end - start) / 4);
        else
            take_both(start, end, false);
        (void)check_against_map();
        was_full |= c.n == CLEAN_MAX;
    }
    assert_true(was_full);
}

/* A 33rd interval: the shortest of all goes, which may be the new one. */
static void test_the_shortest_is_forgotten(void **state)
{
    (void)state;
    clean_open(&c, 0);
    for (uint32_t i = 0; i < CLEAN_MAX; i++)
        clean_add(&c, i * 20, i * 20 + 5 + (i != 7));
    clean_add(&c, 2000, 2004);
    assert_int_equal(c.n, CLEAN_MAX);
    assert_int_equal(c.interval[CLEAN_MAX - 1].start, (CLEAN_MAX - 1) * 20);
    clean_add(&c, 2000, 2006);
    assert_int_equal(c.n, CLEAN_MAX);
    assert_int_equal(c.interval[CLEAN_MAX - 1].start, 2000);
    assert_int_equal(c.interval[7].start, 8 * 20);
    clean_cut(&c, 0, UINT32_MAX);
    assert_int_equal(c.n, 0);
    assert_int_equal(c.taken.end - c.taken.start, 6);
}

/* --- whole heaps ---------------------------------------------------------------------- */

enum { NOBJECTS = 4000 };
static struct heap heap;
static struct object object[NOBJECTS];
static size_t nzero, ntaken; /* bytes */

static void open_heap(size_t nbytes)
{
    struct region region;
    heap = (struct heap){.chunks.clean = &c};
    memset(object, 0, sizeof object);
    nzero = ntaken = 0;
    assert_true(region_map(&region, nbytes));
    heap_open_locked(&heap, region, NULL);
    heap.has_tcaches = false;
}

/* Takes an object, reads what is said to be zero, and fills all of it. */
static bool take(size_t i, size_t nbytes)
{
    struct object zero;
    if (heap_take_clean(&heap, nbytes, &object[i].start, &zero) != HEAP_OK) {
        object[i].start = NULL;
        return false;
    }
    const unsigned char *start = object[i].start, *from = zero.start;
    if (zero.size > 0)
        assert_true(from >= start && from + zero.size <= start + nbytes);
    size_t nclear = 0; /* not an assertion for each byte: there are hundreds of millions */
    while (nclear < zero.size && from[nclear] == 0)
        nclear++;
    assert_int_equal(nclear, zero.size);
    nzero += zero.size;
    ntaken += nbytes;
    memset(object[i].start, FILL, nbytes);
    object[i].size = nbytes;
    return true;
}

static void give(size_t i)
{
    if (object[i].start != NULL)
        assert_int_equal(heap_free_exact(&heap, object[i].start), HEAP_OK);
    object[i].start = NULL;
}

static void grow(size_t i, size_t more)
{
    if (object[i].start == NULL ||
        heap_resize(&heap, object[i].start, object[i].size + more, true) != HEAP_OK)
        return;
    object[i].size += more;
    memset(object[i].start, FILL, object[i].size);
}

static void close_heap(void)
{
    for (size_t i = 0; i < NOBJECTS; i++)
        give(i);
    os_unmap(heap.chunks.region.base, heap.chunks.region.nbytes);
}

/* Records of many objects reach far down from the region's end. An object that lies there later is
 * not all zero, unless the pages went back after the records had gone. */
static void test_where_records_were(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20, SIZE = 600 };
    open_heap(BYTES);
    size_t n = 0;
    while (n < NOBJECTS && take(n, SIZE))
        n++;
    assert_in_range(n, 1500, NOBJECTS - 1);
    assert_true(nzero > ntaken / 10 * 9);
    while (n > 0)
        give(--n);
    heap_trim(&heap);
    nzero = ntaken = 0;
    assert_true(take(0, BYTES - 4096));
    assert_true(nzero > ntaken / 10 * 9 && nzero < ntaken);
    close_heap();
}

/* Two holes, of which the shorter one went back to the system: the dirty one is taken first [CK3],
 * and what is handed out of the clean one was not dirty. */
static void test_dirty_holes_come_first(void **state)
{
    (void)state;
    enum { MIB = 1 << 20, APART = 100 << 10, MIB_GRANULES = MIB / GRANULE_BYTES, PAGES = 512 };
    const struct ledger *l = &heap.chunks.ledger;
    open_heap(64 * MIB);
    take(0, MIB);
    take(1, APART);
    take(2, MIB + MIB / 4);
    take(3, APART);
    take(6, 16 * MIB); /* beside this, what is free is little, and is not given back at once */
    void *clean_hole = object[0].start, *dirty_hole = object[2].start;
    give(0);
    heap_trim(&heap);
    give(2);
    assert_int_equal(l->ndirty, MIB_GRANULES + MIB_GRANULES / 4);
    take(4, MIB);
    assert_ptr_equal(object[4].start, dirty_hole);
    assert_int_equal(l->ndirty, MIB_GRANULES / 4);
    take(5, MIB);
    assert_ptr_equal(object[5].start, clean_hole);
    assert_in_range(l->ndirty, MIB_GRANULES / 4 - PAGES, MIB_GRANULES / 4);
    close_heap();
}

/* More holes have gone back than the list of clean memory has: what it has forgotten is neither
 * clean nor dirty. So what is free is one of the three, however long objects are replaced; but for
 * the pages that a hole has in part. */
static void test_what_is_free_is_counted_once(void **state)
{
    (void)state;
    enum { MIB = 1 << 20, SIZE = 128 << 10, N = 200, ROUNDS = 600, PAGE = 4096 / GRANULE_BYTES };
    const struct ledger *l = &heap.chunks.ledger;
    open_heap(64 * MIB);
    heap.trim.peak = UINT32_MAX; /* nothing goes back by itself: */
    heap.trim.gone = heap.trim.again = UINT64_MAX / 2;
    for (size_t i = 0; i < N; i++)
        take(i, SIZE - i % 7 * 100);
    for (size_t i = 0; i < N; i += 2)
        give(i);
    heap_trim(&heap);
    assert_true(l->nforgotten > SIZE / GRANULE_BYTES * (N / 2 - CLEAN_MAX - 5));
    for (int k = 0; k < ROUNDS; k++) {
        size_t i = 1 + rnd(&dice, N / 2) * 2;
        give(i);
        take(i, SIZE - rnd(&dice, 7) * 100);
        uint32_t nfree = l->used - l->live_granules, nclean = clean_count(&c, 0, l->used);
        assert_in_range(l->ndirty + l->nforgotten + nclean, nfree - N * 2 * PAGE, nfree);
    }
    assert_true(l->nforgotten < l->ndirty / 8); /* it was all in use since, and became dirty */
    close_heap();
}

/* What an object had before it is resized was never dirty: it counts neither where the object grows
 * into clean memory, nor where it shrinks beside some. */
static void test_a_resize_counts_what_was_free(void **state)
{
    (void)state;
    enum { MIB = 1 << 20, MIB_GRANULES = MIB / GRANULE_BYTES };
    const struct ledger *l = &heap.chunks.ledger;
    open_heap(64 * MIB);
    take(0, 4 * MIB);
    take(1, 16 * MIB);
    give(0);
    heap.trim.peak = UINT32_MAX; /* nothing goes back for another peak */
    assert_int_equal(l->ndirty, 4 * MIB_GRANULES);
    grow(1, MIB / 16);
    assert_int_equal(object[1].size, 16 * MIB + MIB / 16);
    assert_int_equal(l->ndirty, 4 * MIB_GRANULES);
    heap_trim(&heap);
    assert_int_equal(heap_resize(&heap, object[1].start, 15 * MIB, true), HEAP_OK);
    object[1].size = 15 * MIB;
    assert_int_equal(l->ndirty, MIB_GRANULES + MIB_GRANULES / 16);
    grow(1, MIB);
    assert_int_equal(object[1].size, 16 * MIB);
    assert_int_equal(l->ndirty, MIB_GRANULES / 16);
    close_heap();
}

/* In a full heap an object of a byte may get a slot of 64 KiB, with 65,535 bytes of slack: the mark
 * of a clean slot is the same number [ST5]. */
static void test_the_largest_slack(void **state)
{
    (void)state;
    static const size_t sizes[] = {65536, 5000, 500, 60, 1};
    size_t n = 1;
    open_heap((size_t)128 << 20);
    take(0, 65536);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        while (n < NOBJECTS && take(n, sizes[i]))
            n++;
    assert_true(n < NOBJECTS);
    give(0);
    take(0, 1);
    give(0);
    assert_true(take(0, 65536));
    close_heap();
}

/* Any sizes in a heap that is often full and often empty, where pages go back at any time. */
static void random_calls(size_t nbytes, size_t size_max, unsigned nobjects, int nsteps)
{
    open_heap(nbytes);
    for (int step = 0; step < share_of(nsteps); step++) {
        size_t i = rnd(&dice, nobjects);
        size_t size = rnd(&dice, 3) == 0 ? rnd(&dice, (uint32_t)size_max) : rnd(&dice, 5000);
        if (rnd(&dice, 8) == 0) {
            grow(i, size / 4);
        } else if (object[i].start != NULL) {
            give(i);
        } else {
            /* Mostly a whole class, so that the slack is small enough for the state. */
            size_t room = sizeclass_bytes(sizeclass_of(size < 65536 ? size : 65536));
            take(i, size < 65536 && rnd(&dice, 2) == 0 ? room - rnd(&dice, 100) % room : size);
        }
        if (rnd(&dice, 200) == 0)
            heap_trim(&heap);
        if (rnd(&dice, 2000) == 0)
            for (size_t k = 0; k < nobjects; k++)
                give(k);
    }
    assert_true(nzero > 0 && clean_is_valid(&c));
    close_heap();
}

static void test_heaps(void **state)
{
    (void)state;
    random_calls((size_t)1 << 20, 60000, 200, 50000);
    random_calls((size_t)8 << 20, 300000, 400, 30000);
    random_calls((size_t)128 << 20, 300000, 400, 30000);
    random_calls((size_t)128 << 20, 65536, 800, 30000);
}

/* --- the checker can fail ------------------------------------------------------------ */

static void test_checker_sees_each_kind_of_damage(void **state)
{
    (void)state;
    clean_open(&c, 100);
    clean_cut(&c, 40, 60);
    assert_true(clean_is_valid(&c) && c.n == 2);
    const struct clean keep = c;
    c.interval[1].end = c.interval[1].start; /* it is empty */
    assert_false(clean_is_valid(&c));
    c = keep;
    c.gap = (struct interval){0};
    c.interval[1].start = c.interval[0].end + 1;
    assert_true(clean_is_valid(&c));
    c.interval[1].start--; /* two that touch */
    assert_false(clean_is_valid(&c));
    c = keep;
    c.gap.start = c.interval[0].end - 1; /* the gap reaches into the one below, or above */
    assert_false(clean_is_valid(&c));
    c = keep;
    c.gap.end = c.interval[1].start + 1;
    assert_false(clean_is_valid(&c));
    c = keep;
    c.n = CLEAN_MAX + 1;
    for (uint32_t i = 0; i <= CLEAN_MAX; i++)
        c.interval[i] = (struct interval){1000 + 4 * i, 1001 + 4 * i};
    assert_false(clean_is_valid(&c));
    c.n = CLEAN_MAX;
    assert_true(clean_is_valid(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_to_the_map),
        cmocka_unit_test(test_never_more_than_the_map),
        cmocka_unit_test(test_the_shortest_is_forgotten),
        cmocka_unit_test(test_where_records_were),
        cmocka_unit_test(test_dirty_holes_come_first),
        cmocka_unit_test(test_what_is_free_is_counted_once),
        cmocka_unit_test(test_a_resize_counts_what_was_free),
        cmocka_unit_test(test_the_largest_slack),
        cmocka_unit_test(test_heaps),
        cmocka_unit_test(test_checker_sees_each_kind_of_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * counters.c - checks the counters of a heap (core/counters.h) against counts made here and against
 * the pieces found in the heap.
 */
#include "unit.h"

#include <string.h>

#include "core/pieces.h"

enum { REGION = 1 << 26, NOBJECTS = 3000, NCALLS = 10000 };

static _Alignas(1 << 16) unsigned char region[REGION];
static struct heap heap;
static struct counters counters, mine;
static struct {
    void *start;
    size_t size;
} object[NOBJECTS];
static uint64_t dice;

static int open_heap(void **state)
{
    (void)state;
    dice = 88172645463325252u;
    counters = mine = (struct counters){0};
    memset(region, 0, sizeof region);
    memset(object, 0, sizeof object);
    heap = (struct heap){0};
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = REGION}, NULL);
    return 0;
}

/* --- sizes -------------------------------------------------------------------------- */

static void test_a_size_ends_at_a_power_of_two(void **state)
{
    (void)state;
    assert_int_equal(counters_size(0), 0);
    assert_int_equal(counters_size(1), 0);
    for (unsigned i = 0; i < NCOUNTED_SIZES; i++) {
        assert_int_equal(counters_size_bytes(i), (uint64_t)16 << i);
        assert_int_equal(counters_size(counters_size_bytes(i)), i);
        if (i + 1 < NCOUNTED_SIZES)
            assert_int_equal(counters_size(counters_size_bytes(i) + 1), i + 1);
    }
    assert_int_equal(counters_size(SIZE_MAX), NCOUNTED_SIZES - 1);
}

/* --- the counts, made naively ------------------------------------------------------- */

static void recount(struct counters *c)
{
    uint64_t peak = c->live_bytes_peak;
    c->nlive = c->live_bytes = 0;
    for (int i = 0; i < NCOUNTED_SIZES; i++)
        c->size[i].nlive = c->size[i].live_bytes = 0;
    for (int i = 0; i < NOBJECTS; i++) {
        if (object[i].start == NULL)
            continue;
        struct count_of_size *s = &c->size[counters_size(object[i].size)];
        c->nlive++;
        c->live_bytes += object[i].size;
        s->nlive++;
        s->live_bytes += object[i].size;
    }
    c->live_bytes_peak = peak < c->live_bytes ? c->live_bytes : peak;
    for (int i = 0; i < NCOUNTED_SIZES; i++)
        if (c->size[i].nlive_peak < c->size[i].nlive)
            c->size[i].nlive_peak = c->size[i].nlive;
}

static void assert_same(void)
{
    struct pieces_tally tally = tally_heap(&heap);
    size_t map = (size_t)pagemap_granules(&heap.spans) * GRANULE_BYTES;
    recount(&mine);
    mine.region_bytes = REGION;
    mine.used_bytes = counters.used_bytes; /* These counters are checked below. */
    mine.used_bytes_peak = counters.used_bytes_peak;
    mine.given_back_bytes = counters.given_back_bytes;
    assert_memory_equal(&counters, &mine, sizeof counters);
    assert_int_equal(counters.nlive, tally.nobjects);
    assert_int_equal(counters.live_bytes, tally.object_bytes);
    assert_true(counters.used_bytes >= counters.live_bytes + tally.ledger_bytes);
    assert_true(counters.used_bytes <= REGION - map &&
                counters.used_bytes <= counters.used_bytes_peak);
    assert_int_equal(counters.nlive + counters.nfreed,
                     counters.nallocated + counters.ninherited); /* This is CN1. */
}

static size_t any_size(void)
{
    return rnd(&dice, 100) == 0 ? rnd(&dice, REGION / 8) : rnd(&dice, 16u << rnd(&dice, 12));
}

static void one_call(void)
{
    unsigned i = rnd(&dice, NOBJECTS);
    size_t size = any_size();
    if (object[i].start == NULL) {
        if (heap_take(&heap, size, FIT_ANY, &object[i].start) != HEAP_OK) {
            object[i].start = NULL;
            return;
        }
        object[i].size = size;
        mine.nallocated++;
        mine.allocated_bytes += size;
        mine.size[counters_size(size)].nallocated++;
    } else if (rnd(&dice, 3) > 0) {
        if (heap_resize(&heap, object[i].start, size, true) != HEAP_OK)
            return;
        object[i].size = size;
        mine.nresized++;
    } else {
        bool exact = rnd(&dice, 2) == 0;
        assert_int_equal((exact ? heap_free_exact : heap_free)(&heap, object[i].start), HEAP_OK);
        assert_int_equal(heap_free_exact(&heap, object[i].start), HEAP_FREE);
        object[i].start = NULL;
        mine.nfreed++;
    }
    recount(&mine);
}

static void test_any_calls(void **state)
{
    (void)state;
    heap_lock(&heap);
    assert_true(heap_count_locked(&heap, &counters));
    heap_unlock(&heap);
    for (int i = 0; i < NCALLS; i++) {
        one_call();
        if (i % 100 == 0)
            assert_same();
    }
    assert_same();
    assert_true(mine.nresized > 100 && mine.nfreed > 100);
}

/* --- beginning ---------------------------------------------------------------------- */

static void test_what_is_there_counts_as_taken(void **state)
{
    (void)state;
    static struct thread t;
    heap_join(&heap, &t);
    bool has = t.tcache != NULL;
    for (int i = 0; i < 200; i++) {
        size_t size = (size_t)i * 9;
        unsigned sizeclass = heap_sizeclass(&heap, size, 1);
        if (!has || !heap_refill(&heap, &t, sizeclass) ||
            !tcache_take(&t, size, sizeclass, &object[i].start, NULL))
            assert_int_equal(heap_take(&heap, size, FIT_ANY, &object[i].start), HEAP_OK);
        object[i].size = size;
        mine.nallocated++;
        mine.allocated_bytes += size;
        mine.size[counters_size(size)].nallocated++;
    }
    heap_lock(&heap);
    assert_true(heap_count_locked(&heap, &counters));
    heap_unlock(&heap);
    assert_null(t.tcache);
    assert_same();
    heap_join(&heap, &t);
    assert_null(t.tcache); /* A heap that counts gives no thread a cache. */
}

static void test_counting_from_the_first(void **state)
{
    (void)state;
    struct thread t = {0};
    struct region all = heap.chunks.region;
    void *first;
    heap = (struct heap){0};
    assert_true(heap_count_locked(&heap, &counters));
    heap_open_locked(&heap, all, NULL);
    assert_int_equal(counters.region_bytes, REGION);
    heap_join(&heap, &t);
    assert_null(t.tcache);
    assert_int_equal(heap_take(&heap, 100, FIT_ANY, &first), HEAP_OK);
    assert_int_equal(counters.live_bytes, 100);
}

static void test_a_child_inherits_what_is_live(void **state)
{
    (void)state;
    struct counters child;
    counters_take(&counters, 100);
    counters_take(&counters, 200);
    counters_take(&counters, 5000);
    counters_free(&counters, 5000);
    counters_use(&counters, 9000);
    counters.nmoved = counters.nfailed = counters.nrefused[REFUSED_INSIDE] =
        counters.given_back_bytes = 1;
    counters_inherit(&child, &counters);
    counters_free(&child, 100);
    struct counters expected = {.nfreed = 1,
                                .nlive = 1,
                                .live_bytes = 200,
                                .live_bytes_peak = 300,
                                .ninherited = 2,
                                .inherited_bytes = 300,
                                .used_bytes = 9000,
                                .used_bytes_peak = 9000};
    expected.size[counters_size(100)] = (struct count_of_size){.nlive_peak = 1};
    expected.size[counters_size(200)] =
        (struct count_of_size){.nlive = 1, .nlive_peak = 1, .live_bytes = 200};
    assert_memory_equal(&child, &expected, sizeof child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_size_ends_at_a_power_of_two, open_heap),
        cmocka_unit_test_setup(test_any_calls, open_heap),
        cmocka_unit_test_setup(test_what_is_there_counts_as_taken, open_heap),
        cmocka_unit_test_setup(test_counting_from_the_first, open_heap),
        cmocka_unit_test_setup(test_a_child_inherits_what_is_live, open_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

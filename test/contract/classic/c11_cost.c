/* SPDX-License-Identifier: MIT
 *
 * C11: checks that Mem_Init takes nothing fixed from the region, that a live object or a free
 * chunk costs at most 24 bytes, and that these bytes are given back.
 */
#include "contract.h"

static void one_of_4048(void)
{
    open_4096();
    assert_non_null(Mem_Alloc(4048));
}

static void three_of_880_one_of_1360(void)
{
    open_4096();
    unsigned char *live[4] = {get(880), get(880), get(880), get(1360)};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(Mem_GetSize(live[i]), i < 3 ? 880 : 1360);
    }
    assert_true(all_intact());
}

static void in_any_style(void)
{
    open_4096();
    for (int style = BESTFIT; style <= FIRSTFIT; style++) {
        void *all = Mem_Alloc(4048, style);
        assert_non_null(all);
        assert_int_equal(Mem_Free(all), 0);
    }
}

static void never_4095(void)
{
    unsigned seed = 11;
    open_4096();
    for (int i = 0; i < 500; i++) {
        assert_null(Mem_Alloc(4095));
        assert_int_equal(m_error, E_NO_SPACE);
        assert_null(Mem_Alloc(4095, random_below(&seed, 3)));
        if (nobjects > 10) {
            give(objects[random_below(&seed, nobjects)].start);
        }
        get(1 + random_below(&seed, 150));
    }
    give_all(&seed);
    assert_null(Mem_Alloc(4095));
}

static void hundred_of_8(void)
{
    unsigned seed = 12;
    open_4096();
    for (int i = 0; i < 100; i++) {
        get(8);
    }
    assert_true(all_intact());
    give_all(&seed);
    assert_non_null(Mem_Alloc(4048));
}

/* After n objects of 16 bytes, the free space at the end is the region less the objects and less
 * 24 bytes for each of n + 1 chunks, rounded down to a multiple of 16. */
static void at_most_24_for_each(void)
{
    open_heap(65536);
    for (int n = 0; n < 1000; n++) {
        int top = n * GRANULE_BYTES;
        int end = (int)region_bytes - (n + 1) * ROW_BYTES;
        assert_ptr_equal(m_free_list, region_base + top);
        assert_true(m_free_list->size >= end / GRANULE_BYTES * GRANULE_BYTES - top);
        get(16);
    }
}

/* A hole is a chunk, too: it costs 24 bytes, which are given back when it is closed. */
static void holes_are_given_back(void)
{
    unsigned seed = 13;
    open_heap(65536);
    int whole = m_free_list->size;
    for (int round = 0; round < 3; round++) {
        for (int n = 0; n < 500; n++) {
            get(16);
        }
        for (int n = 0; n < 500; n += 2) {
            give(region_base + n * GRANULE_BYTES);
        }
        give_all(&seed);
        assert_int_equal(m_free_list->size, whole);
    }
}

static void nothing_fixed(void)
{
    open_heap(1 << 24);
    assert_true(m_free_list->size >= (1 << 24) - 2 * ROW_BYTES);
    assert_non_null(Mem_Alloc((1 << 24) - 2 * ROW_BYTES));
}

/* Checks the limit that DESIGN.md states, so that a change of it is noticed. */
static void few_records_for_a_large_hole(void)
{
    int nfirst = 0, nthen = 0;
    open_heap(1 << 20);
    void *large = Mem_Alloc(600000);
    while (Mem_Alloc(1, BESTFIT) != NULL) {
        nfirst++;
    }
    assert_int_equal(Mem_Free(large), 0);
    while (Mem_Alloc(1, BESTFIT) != NULL) {
        nthen++;
    }
    assert_int_equal(nthen, 2953);
    assert_true(nthen >= nfirst / 4);
    assert_int_equal(Mem_Check(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE("C11 of 4,096 bytes one object of 4,048 fits", one_of_4048),
        ALONE("C11 of 4,096 bytes three of 880 and one of 1,360 fit", three_of_880_one_of_1360),
        ALONE("C11 4,048 bytes fit in each style", in_any_style),
        ALONE("C11 of 4,096 bytes 4,095 never fit", never_4095),
        ALONE("C11 of 4,096 bytes a hundred objects of 8 fit", hundred_of_8),
        ALONE("C11 an object costs at most 24 bytes", at_most_24_for_each),
        ALONE("C11 what objects and holes cost is given back", holes_are_given_back),
        ALONE("C11 a large hole in a region filled before has few records",
              few_records_for_a_large_hole),
        ALONE("C11 nothing fixed is taken from a region of 16 MiB", nothing_fixed),
    };
    return cmocka_run_group_tests_name("C11", tests, NULL, NULL);
}

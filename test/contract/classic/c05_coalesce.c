/* SPDX-License-Identifier: MIT
 *
 * C5: checks that neighbouring free space becomes one chunk at once, and that the whole region is
 * free again when all objects were freed.
 */
#include "contract.h"

#include <pthread.h>

static bool neighbours_are_one(void)
{
    for (MemNodePtr node = m_free_list; node != NULL; node = node->next) {
        if ((unsigned char *)node + node->size == (unsigned char *)node->next) {
            return false;
        }
    }
    return true;
}

/* Computes permutation n of the 24 permutations of four, by reading n as a number in mixed radix.
 */
static void nth_order(int n, int order[4])
{
    int left[4] = {0, 1, 2, 3};
    for (int nleft = 4; nleft > 0; nleft--) {
        int pick = n % nleft;
        n /= nleft;
        order[4 - nleft] = left[pick];
        left[pick] = left[nleft - 1];
    }
}

/* [wall][0][1][2][3][wall] => [wall][ one chunk ][wall], for each order of freeing */
static void every_order_of_four(void)
{
    open_heap(8192);
    get(32);
    for (int n = 0; n < 24; n++) {
        unsigned char *four[4], *wall;
        int order[4];
        for (int i = 0; i < 4; i++) {
            four[i] = Mem_Alloc(100 + i, FIRSTFIT);
        }
        wall = Mem_Alloc(32, FIRSTFIT);
        nth_order(n, order);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(Mem_Free(four[order[i]]), 0);
            assert_true(neighbours_are_one());
        }
        assert_ptr_equal(m_free_list, four[0]);
        assert_int_equal(m_free_list->size, 4 * 112);
        assert_int_equal(Mem_Free(wall), 0);
        assert_ptr_equal(m_free_list, four[0]);
        assert_null(m_free_list->next);
    }
}

static void mixed_history(int region, int max_size, int nsteps)
{
    unsigned seed = 5;
    open_heap(region);
    for (int i = 0; i < nsteps; i++) {
        int size = 1 + random_below(&seed, max_size);
        void *start = Mem_Alloc(size, random_below(&seed, 3));
        if (start != NULL && nobjects < MAX_OBJECTS) {
            enter_object(start, size);
        }
        if (start == NULL || random_below(&seed, 100) < 40) {
            give(objects[random_below(&seed, nobjects)].start);
            assert_true(neighbours_are_one());
        }
    }
    assert_true(nobjects > 100);
    while (nobjects > 0) {
        give(objects[random_below(&seed, nobjects)].start);
        assert_true(neighbours_are_one());
    }
    assert_true(is_whole_again());
}

static void small_region(void)
{
    mixed_history(1 << 16, 500, 5000);
}

static void objects_of_a_few_bytes(void)
{
    mixed_history(1 << 15, 24, 5000);
}

static void region_of_65536000(void)
{
    mixed_history(65536000, 200000, 1000);
    assert_non_null(Mem_Alloc(65535950));
}

/* Fills the region to the last record, so that holes are taken whole, and then empties it. */
static void filled_and_emptied(void)
{
    unsigned seed = 6;
    open_heap(1 << 15);
    for (int round = 0; round < 20; round++) {
        void *start;
        int size;
        while (size = 1 + random_below(&seed, 100), (start = Mem_Alloc(size)) != NULL) {
            enter_object(start, size);
        }
        for (int i = 0; i < nobjects; i++) {
            if (random_below(&seed, 3) == 0) {
                give(objects[i].start);
            }
        }
        while ((start = Mem_Alloc(1)) != NULL) {
            enter_object(start, 1);
        }
        give_all(&seed);
        assert_true(is_whole_again());
    }
}

static void *frees_the_odd_ones(void *arg)
{
    unsigned char **items = arg;
    for (int i = 1; i < 200; i += 2) {
        if (Mem_Free(items[i]) != 0) {
            return arg;
        }
    }
    return NULL;
}

static void freed_by_two_threads(void)
{
    static unsigned char *items[200];
    pthread_t other;
    void *failed = NULL;
    open_heap(1 << 18);
    for (int i = 0; i < 200; i++) {
        items[i] = get(1 + i * 3);
    }
    assert_int_equal(pthread_create(&other, NULL, frees_the_odd_ones, items), 0);
    for (int i = 0; i < 200; i += 2) {
        assert_int_equal(Mem_Free(items[i]), 0);
    }
    pthread_join(other, &failed);
    assert_null(failed);
    assert_true(is_whole_again());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE("C5 four neighbours are one chunk, in each of 24 orders", every_order_of_four),
        ALONE("C5 a small region is whole again after a mixed history", small_region),
        ALONE("C5 a region of tiny objects is whole again", objects_of_a_few_bytes),
        ALONE("C5 65,535,950 bytes fit again into 65,536,000", region_of_65536000),
        ALONE("C5 a region filled to the last row is whole again", filled_and_emptied),
        ALONE("C5 a region freed by two threads is whole again", freed_by_two_threads),
    };
    return cmocka_run_group_tests_name("C5", tests, NULL, NULL);
}

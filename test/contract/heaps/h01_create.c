/* SPDX-License-Identifier: MIT
 *
 * h01_create.c - H1: checks that heaps of every size are created and destroyed, a thousand at once.
 */
#include "own_heaps.h"

#include <unistd.h>

static void test_mappings(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t max = mappings_are_cheap() ? MEM_HEAP_MAX : (size_t)1 << 29;
    for (size_t nbytes = 1; nbytes <= max; nbytes *= 2) {
        struct mem_statistics stats;
        mem_heap *heap = mem_heap_create(nbytes, NULL);
        if (heap == NULL && mem_last_error() == MEM_NO_MEMORY && nbytes > (size_t)1 << 32)
            break; /* The machine does not grant larger heaps. */
        assert_ok(mem_stats(heap, &stats));
        assert_int_equal(stats.region_bytes, (nbytes + page - 1) / page * page);
        bool parts = stats.region_bytes > MEM_PART_BYTES;
        size_t header = nbytes > 1 << 20 ? 4096 : 512;
        assert_true(stats.largest_free + header >= (parts ? MEM_PART_BYTES : stats.region_bytes));
        char *p = mem_alloc_fit(heap, stats.largest_free, 1, MEM_BEST_FIT);
        assert_non_null(p);
        p[0] = p[stats.largest_free - 1] = 1;
        assert_ok(mem_free_any(heap, p + stats.largest_free - 1));
        assert_ok(mem_heap_destroy(heap));
    }
}

static void test_a_thousand_heaps(void **state)
{
    (void)state;
    enum { N = 1000, EACH = 20 };
    static mem_heap *heap[2 * N];
    static unsigned char *object[2 * N][EACH];
    const int n = share_of(2 * N);
    for (int i = 0; i < n; i++)
        heap[i] = i % 2 ? mem_heap_create(4096, NULL) : mem_heap_in(memory + i * 4096, 4096, NULL);
    for (int k = 0; k < EACH; k++)
        for (int i = 0; i < n; i++) {
            object[i][k] = mem_alloc(heap[i], 100);
            memset(object[i][k], i % 255, 100);
        }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < EACH; k++) {
            assert_int_equal(object[i][k][0], i % 255);
            assert_int_equal(object[i][k][99], i % 255);
            assert_int_equal(mem_free(heap[(i + 1) % n], object[i][k]),
                             i + 1 < n ? MEM_NOT_OURS : MEM_NO_HEAP);
            assert_ok(mem_free_any(heap[i], object[i][k] + 50));
            if (k == EACH - 1)
                assert_ok(mem_heap_destroy(heap[i]));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mappings),
        cmocka_unit_test(test_a_thousand_heaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

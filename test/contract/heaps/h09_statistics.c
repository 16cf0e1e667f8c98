/* SPDX-License-Identifier: MIT
 *
 * h09_statistics.c - H9: checks how many bytes of a heap are reported as resident.
 */
#include "own_heaps.h"

/* Pages become resident when they are touched; in large heaps, some at a time. */
static void test_what_is_resident(void **state)
{
    (void)state;
    enum { ALL = 128 * MIB, MUCH = 64 * MIB, LITTLE = 8 * MIB };
    struct mem_statistics stats;
    mem_heap *heap = mem_heap_create(ALL, NULL);
    assert_ok(mem_stats(heap, &stats));
    assert_in_range(stats.resident_bytes, 1, LITTLE);
    char *object = mem_alloc(heap, MUCH);
    memset(object, 1, MUCH);
    assert_ok(mem_stats(heap, &stats));
    assert_in_range(stats.resident_bytes, MUCH, MUCH + LITTLE);
    assert_ok(mem_heap_destroy(heap));
    heap = mem_heap_in(memory, 4096, NULL);
    assert_ok(mem_stats(heap, &stats));
    assert_int_equal(stats.resident_bytes, 4096);
    assert_ok(mem_heap_destroy(heap));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_resident),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

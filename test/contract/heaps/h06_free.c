/* SPDX-License-Identifier: MIT
 *
 * h06_free.c - H6: checks that a free of what lies behind the last slot of a span is refused.
 */
#include "own_heaps.h"

/* The bytes behind the last slot of a span belong to no object. */
static void test_left_over_behind_slots(void **state)
{
    (void)state;
    enum { SIZE = 896, SLICE = 8192, N = SLICE / SIZE };
    struct mem_piece found;
    mem_heap *heap = mem_heap_in(memory, 3 * MIB, NULL);
    unsigned char *first = mem_alloc(heap, SIZE), *last = first, *rest = first + N * SIZE;
    assert_int_equal((uintptr_t)first % SLICE, 0);
    for (int i = 1; i < N; i++)
        last = mem_alloc(heap, SIZE);
    assert_ptr_equal(last, rest - SIZE);
    assert_ok(mem_free(heap, last));
    assert_int_equal(mem_free(heap, rest - 1), MEM_FREE);
    for (unsigned char *p = rest; p < first + SLICE; p++) {
        assert_int_equal(mem_free_any(heap, p), MEM_NO_OBJECT);
        assert_int_equal(mem_find_in(heap, p, &found), MEM_NO_OBJECT);
    }
    assert_ok(mem_heap_destroy(heap));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_over_behind_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

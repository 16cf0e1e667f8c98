/* SPDX-License-Identifier: MIT
 *
 * h08_walk.c - H8: checks that a visitor of mem_walk cannot use the heap that is walked.
 */
#include "own_heaps.h"

static mem_heap *heap;
static const unsigned flags[] = {MEM_SLOTS, MEM_SLOTS | MEM_SINGLE_THREADED, 0};

static bool tries_to_use(const struct mem_piece *piece, void *context)
{
    (void)context;
    struct mem_piece found;
    assert_null(mem_alloc(heap, 16));
    assert_int_equal(mem_last_error(), MEM_BUSY);
    assert_int_equal(mem_find_in(heap, piece->start, &found), MEM_OK); /* it takes no lock */
    assert_ptr_equal(found.start, piece->start);
    assert_int_equal(mem_find(piece->start, &found), MEM_OK);
    if (piece->live)
        assert_int_equal(mem_free(heap, piece->start), MEM_BUSY);
    return true;
}

static void test_while_it_is_walked(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        heap =
            mem_heap_in(memory, i < 2 ? 1 << 16 : 8192, &(struct mem_options){.flags = flags[i]});
        for (int n = 0; n < 100; n++)
            assert_non_null(mem_alloc(heap, 40));
        assert_int_equal(mem_walk(heap, tries_to_use, NULL), MEM_OK);
        assert_int_equal(mem_heap_destroy(heap), MEM_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_while_it_is_walked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

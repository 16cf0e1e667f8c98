/* SPDX-License-Identifier: MIT
 *
 * h05_resize.c - H5: checks that a resized object that moves to a smaller slot is copied only as
 * far as it reaches.
 */
#include "own_heaps.h"

/* An object moves from a slot to a much smaller one: the bytes behind the smaller slot are not
 * written to. */
static void test_moved_to_a_smaller_slot(void **state)
{
    (void)state;
    memset(memory, 0x11, 8 * MIB);
    mem_heap *heap = mem_heap_in(memory, 8 * MIB, NULL);
    unsigned char *large = mem_alloc(heap, 2000);
    memset(large, 0xEE, 2000);
    unsigned char *small = mem_resize(heap, large, 100);
    assert_true(small != large && small[0] == 0xEE && small[99] == 0xEE);
    assert_true(small[100] == 0x11 && small[112] == 0x11);
    assert_ok(mem_heap_destroy(heap));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moved_to_a_smaller_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

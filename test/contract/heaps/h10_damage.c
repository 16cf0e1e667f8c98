/* SPDX-License-Identifier: MIT
 *
 * h10_damage.c - H10: checks that mem_check reports a record that was overwritten.
 */
#include "own_heaps.h"

static void test_damage_is_found(void **state)
{
    (void)state;
    mem_heap *heap = mem_heap_in(memory, 4096, NULL);
    for (int i = 0; i < 5; i++)
        assert_non_null(mem_alloc(heap, 100));
    unsigned char was = memory[4095 - 8];
    memory[4095 - 8] ^= 0x40;
    assert_int_equal(mem_check(heap, NULL), MEM_DAMAGED);
    memory[4095 - 8] = was;
    assert_ok(mem_check(heap, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damage_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

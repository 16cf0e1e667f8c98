/* SPDX-License-Identifier: MIT
 *
 * h20_check_calls.c - H20: checks that with MEM_CHECK_CALLS every call finds the damage that
 * mem_check finds.
 */
#include "own_heaps.h"

/* Returns the number of bytes of a heap whose change is reported by a call on the heap. */
static size_t count_seen(unsigned flags, bool as_by_check)
{
    enum { NBYTES = 4096 };
    size_t nseen = 0;
    mem_heap *heap = mem_heap_in(memory, NBYTES, &(struct mem_options){.flags = flags});
    void *second = NULL;
    for (int i = 0; i < 5; i++) {
        void *object = mem_alloc(heap, 100);
        second = i == 1 ? object : second;
    }
    assert_ok(mem_free(heap, second));
    for (size_t i = 0; i < NBYTES; i++) {
        memory[i] ^= 0x10;
        enum mem_result result = mem_free(heap, NULL);
        if (as_by_check)
            assert_int_equal(result, mem_check(heap, NULL));
        memory[i] ^= 0x10;
        nseen += result != MEM_OK;
    }
    assert_ok(mem_heap_destroy(heap));
    return nseen;
}

static void test_calls_that_check(void **state)
{
    (void)state;
    size_t nseen = count_seen(MEM_SINGLE_THREADED | MEM_CHECK_CALLS, true);
    size_t nseen_else = count_seen(MEM_SINGLE_THREADED, false);
    assert_true(nseen > nseen_else);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_that_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * h05_resize.c - H5: checks that a resized object that moves to a smaller slot is copied only as
 * far as it reaches; that one which shrinks gives up what it had, even in a full heap; and that one
 * grows where it lies if there is no other place.
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

/* No record is needed where what the object gives up is free already behind it. */
static void test_the_only_object_shrinks(void **state)
{
    struct mem_statistics s;
    (void)state;
    for (size_t nbytes = 512; nbytes <= 8 * MIB; nbytes *= 2) {
        mem_heap *heap = mem_heap_in(memory, nbytes, NULL);
        assert_ok(mem_stats(heap, &s));
        size_t all = s.largest_free;
        void *object = mem_alloc(heap, all);
        assert_non_null(object);
        assert_ptr_equal(mem_resize(heap, object, 16), object);
        assert_ok(mem_stats(heap, &s));
        assert_int_equal(s.slack_bytes, 0);
        assert_true(s.largest_free >= all - all / 8 - 32);
        assert_ptr_equal(mem_resize(heap, object, 16 + s.largest_free), object);
        assert_ok(mem_heap_destroy(heap));
    }
}

/* The rest of the heap is in spans whose objects were all freed, and which the heap keeps for the
 * next objects. The resized object has room only where it lies, and only if these spans go. */
static void test_grows_over_what_is_kept(void **state)
{
    enum { N = 2000, NBYTES = 4 * MIB, OLD = 100 << 10, NEW = NBYTES - OLD };
    static void *small[N];
    (void)state;
    for (int i = 0; i < 2; i++) {
        const struct mem_options options = {.flags = i == 0 ? 0 : MEM_SINGLE_THREADED};
        mem_heap *heap = mem_heap_in(memory, NBYTES, &options);
        unsigned char *p = mem_alloc(heap, OLD);
        memset(p, 0xEE, OLD);
        for (int k = 0; k < N; k++)
            small[k] = mem_alloc(heap, 200);
        for (int k = 0; k < N; k++)
            assert_ok(mem_free(heap, small[k]));
        assert_ptr_equal(mem_resize(heap, p, NEW), p);
        assert_true(p[0] == 0xEE && p[OLD - 1] == 0xEE);
        assert_null_for(MEM_NO_SPACE, mem_resize(heap, p, NBYTES));
        assert_ok(mem_check(heap, NULL));
        assert_ok(mem_heap_destroy(heap));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moved_to_a_smaller_slot),
        cmocka_unit_test(test_the_only_object_shrinks),
        cmocka_unit_test(test_grows_over_what_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

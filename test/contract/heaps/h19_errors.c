/* SPDX-License-Identifier: MIT
 *
 * h19_errors.c - H19: checks that each mistake is refused with its own error, and that each error
 * has a text of its own.
 */
#include "own_heaps.h"

static bool stop_at_once(const struct mem_piece *piece, void *context)
{
    (void)piece;
    ++*(int *)context;
    return false;
}

static bool call_from_visit(const struct mem_piece *piece, void *context)
{
    struct mem_statistics stats;
    mem_heap *heap = context;
    assert_int_equal(mem_free(heap, piece->start), MEM_BUSY);
    assert_null(mem_alloc(heap, 1));
    assert_int_equal(mem_last_error(), MEM_BUSY);
    assert_int_equal(mem_stats(heap, &stats), MEM_BUSY);
    assert_int_equal(mem_heap_destroy(heap), MEM_BUSY);
    return true;
}

static void test_no_heap(void **state)
{
    (void)state;
    struct mem_statistics stats;
    struct mem_piece piece;
    int n = 0;
    memset(memory, 0x55, 4096);
    mem_heap *none[] = {NULL, (mem_heap *)(void *)memory, (mem_heap *)(void *)(memory + 8)};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_null_for(MEM_NO_HEAP, mem_alloc(none[i], 1));
        assert_null_for(MEM_NO_HEAP, mem_zalloc(none[i], 1));
        assert_null_for(MEM_NO_HEAP, mem_aligned(none[i], 1, 64));
        assert_null_for(MEM_NO_HEAP, mem_alloc_fit(none[i], 1, 1, MEM_FIRST_FIT));
        assert_null_for(MEM_NO_HEAP, mem_resize(none[i], memory, 1));
        assert_null_for(MEM_NO_HEAP, mem_resize(none[i], NULL, 1));
        assert_int_equal(mem_free(none[i], memory), MEM_NO_HEAP);
        assert_int_equal(mem_free(none[i], NULL), MEM_NO_HEAP);
        assert_int_equal(mem_free_any(none[i], memory), MEM_NO_HEAP);
        assert_int_equal(mem_find_in(none[i], memory, &piece), MEM_NO_HEAP);
        assert_int_equal(mem_walk(none[i], stop_at_once, &n), MEM_NO_HEAP);
        assert_int_equal(mem_stats(none[i], &stats), MEM_NO_HEAP);
        assert_int_equal(mem_check(none[i], NULL), MEM_NO_HEAP);
        assert_int_equal(mem_heap_destroy(none[i]), MEM_NO_HEAP);
    }
    assert_int_equal(n, 0);
}

static void mistakes(unsigned flags, size_t nbytes)
{
    struct mem_options options = {.flags = flags};
    mem_heap *heap = mem_heap_in(memory, nbytes, &options);
    mem_heap *other = mem_heap_in(memory + nbytes, 4096, NULL);
    char *p = mem_alloc(heap, 100), *q = mem_alloc(other, 100), *was = mem_alloc(heap, 300);
    int nvisits = 0;
    assert_ok(mem_free(heap, was));
    assert_null_for(MEM_TOO_LARGE, mem_alloc(heap, SIZE_MAX));
    assert_null_for(MEM_TOO_LARGE, mem_zalloc(heap, (size_t)PTRDIFF_MAX + 1));
    assert_null_for(MEM_TOO_LARGE, mem_alloc(heap, nbytes + 1));
    assert_null_for(MEM_NO_SPACE, mem_alloc(heap, nbytes - 16));
    assert_null_for(MEM_NO_SPACE, mem_aligned(heap, 1, (size_t)1 << 40));
    assert_null_for(MEM_NO_SPACE, mem_aligned(heap, 1, (size_t)1 << 63));
    assert_null_for(MEM_BAD_ALIGNMENT, mem_aligned(heap, 1, 0));
    assert_null_for(MEM_BAD_ALIGNMENT, mem_aligned(heap, 1, 24));
    assert_null_for(MEM_BAD_ALIGNMENT, mem_alloc_fit(heap, 1, SIZE_MAX, MEM_BEST_FIT));
    assert_null_for(MEM_BAD_STYLE, mem_alloc_fit(heap, 1, 1, (enum mem_style)4));
    assert_null_for(MEM_BAD_STYLE, mem_alloc_fit(heap, 1, 1, (enum mem_style) - 1));
    assert_null_for(MEM_BAD_STYLE, mem_alloc_fit(heap, 1, 32, MEM_FIRST_FIT));
    assert_null_for(MEM_NOT_OURS, mem_resize(heap, q, 10));
    assert_null_for(MEM_INSIDE, mem_resize(heap, p + 1, 10));
    assert_null_for(MEM_FREE, mem_resize(heap, was, 10));
    assert_null_for(MEM_NO_OBJECT, mem_resize(heap, heap, 10));
    assert_null_for(MEM_TOO_LARGE, mem_resize(heap, p, SIZE_MAX));
    assert_null_for(MEM_NO_SPACE, mem_resize(heap, p, nbytes - 16));
    assert_int_equal(mem_free(heap, q), MEM_NOT_OURS);
    assert_int_equal(mem_free_any(heap, q + 50), MEM_NOT_OURS);
    assert_int_equal(mem_free(heap, &options), MEM_NOT_OURS);
    assert_int_equal(mem_free(heap, p + 1), MEM_INSIDE);
    assert_int_equal(mem_free_any(heap, p + 100), MEM_NO_OBJECT);
    assert_int_equal(mem_free(heap, heap), MEM_NO_OBJECT);
    assert_int_equal(mem_free(heap, memory + nbytes - 1), MEM_NO_OBJECT);
    assert_ok(mem_free(heap, NULL));
    assert_ok(mem_walk(heap, stop_at_once, &nvisits));
    assert_int_equal(nvisits, 1);
    assert_ok(mem_walk(heap, call_from_visit, heap));
    assert_ok(mem_check(heap, NULL));
    assert_ok(mem_free(heap, p));
    assert_int_equal(mem_free(heap, p), MEM_FREE);
    assert_ok(mem_heap_destroy(heap));
    assert_int_equal(mem_free(heap, p), MEM_NO_HEAP);
    assert_ok(mem_free(other, q));
    assert_ok(mem_heap_destroy(other));
}

static void test_mistakes(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 8; flags++) {
        mistakes(flags, 4096);
        mistakes(flags, 2 * MIB);
    }
}

static void test_each_result_has_words(void **state)
{
    (void)state;
    for (int i = MEM_OK; i <= MEM_FOREIGN; i++)
        for (int k = MEM_OK; k < i; k++)
            assert_string_not_equal(mem_strerror((enum mem_result)i),
                                    mem_strerror((enum mem_result)k));
    assert_non_null(mem_strerror((enum mem_result)(MEM_FOREIGN + 1)));
    assert_non_null(mem_strerror((enum mem_result) - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_heap),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_each_result_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

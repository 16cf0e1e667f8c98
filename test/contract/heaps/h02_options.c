/* SPDX-License-Identifier: MIT
 *
 * h02_options.c - H2: checks that invalid options are refused, and that new and freed memory is
 * filled.
 */
#include "own_heaps.h"

static void test_no_such_heap_is_made(void **state)
{
    (void)state;
    struct mem_options flags = {.flags = 1u << 31}, style = {.style = (enum mem_style)4};
    assert_null_for(MEM_BAD_SIZE, mem_heap_create(0, NULL));
    assert_null_for(MEM_TOO_LARGE, mem_heap_create(MEM_HEAP_MAX + 1, NULL));
    assert_null_for(MEM_TOO_LARGE, mem_heap_create(SIZE_MAX, NULL));
    assert_null_for(MEM_BAD_OPTIONS, mem_heap_create(4096, &flags));
    assert_null_for(MEM_BAD_OPTIONS, mem_heap_create(4096, &style));
    assert_null_for(MEM_BAD_BUFFER, mem_heap_in(NULL, 4096, NULL));
    assert_null_for(MEM_BAD_BUFFER, mem_heap_in(memory + 8, 4096, NULL));
    assert_null_for(MEM_BAD_SIZE, mem_heap_in(memory, 255, NULL));
    assert_null_for(MEM_BAD_SIZE, mem_heap_in(memory, 0, NULL));
    assert_null_for(MEM_TOO_LARGE, mem_heap_in(memory, SIZE_MAX, NULL));
    assert_null_for(MEM_BAD_OPTIONS, mem_heap_in(memory, 4096, &flags));
    assert_null_for(MEM_BAD_OPTIONS, mem_heap_in(memory, 4096, &style));
}

static bool is_all(const unsigned char *p, int c, size_t n)
{
    while (n > 0 && p[n - 1] == c)
        n--;
    return n == 0;
}

static void test_patterns(void **state)
{
    (void)state;
    struct mem_options options = {.flags = MEM_FILL_NEW | MEM_FILL_FREED,
                                  .fill_new = 0xA1,
                                  .fill_freed = 0xD2};
    mem_heap *heap = mem_heap_in(memory, 4096, &options);
    unsigned char *p = mem_alloc(heap, 100), *q = mem_zalloc(heap, 100);
    assert_true(is_all(p, 0xA1, 100) && is_all(q, 0, 100));
    memset(p, 1, 100);
    assert_ok(mem_free(heap, p));
    assert_true(is_all(p, 0xD2, 100));
    assert_ptr_equal(mem_resize(heap, q, 300), q);
    assert_true(is_all(q, 0, 100) && is_all(q + 100, 0xA1, 200));
    assert_ptr_equal(mem_resize(heap, q, 50), q);
    assert_true(is_all(q, 0, 50) && is_all(q + 50, 0xD2, 250));
}

static size_t resident_bytes(mem_heap *heap)
{
    struct mem_statistics s;
    assert_ok(mem_stats(heap, &s));
    return s.resident_bytes;
}

/* The pages of what is freed or cut off are filled before they go back to the system, so that they
 * do not stay [H1]. The heap falls to a small part of what it was, so that they go at once. */
static void test_filled_pages_go_back(void **state)
{
    (void)state;
    enum { MUCH = 64 * MIB, LITTLE = 8 * MIB };
    const struct mem_options options = {.flags = MEM_FILL_FREED, .fill_freed = 0xD2};
    mem_heap *heap = mem_heap_create(2 * MUCH, &options);
    for (int i = 0; i < 2; i++) {
        unsigned char *p = mem_alloc(heap, MUCH);
        memset(p, 1, MUCH);
        assert_in_range(resident_bytes(heap), MUCH, MUCH + LITTLE);
        if (i == 0)
            assert_ptr_equal(mem_resize(heap, p, 100), p);
        else
            assert_ok(mem_free(heap, p));
        assert_in_range(resident_bytes(heap), 1, LITTLE);
    }
    assert_ok(mem_heap_destroy(heap));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_such_heap_is_made),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_filled_pages_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

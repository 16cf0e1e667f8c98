/* SPDX-License-Identifier: MIT
 *
 * h16_limit.c - H16: checks the limit of a heap, and the callbacks for a full heap and a refused
 * call.
 */
#include "own_heaps.h"

struct script {
    void *reserve; /* Freed by the first call that finds no space. */
    int ncalls, nrefused;
    size_t wanted;
    const void *address;
    enum mem_result why;
};

static bool give_up_reserve(mem_heap *heap, size_t size, void *context)
{
    struct script *s = context;
    void *reserve = s->reserve;
    s->ncalls++;
    s->wanted = size;
    s->reserve = NULL;
    return reserve != NULL && mem_free(heap, reserve) == MEM_OK;
}

static void note(mem_heap *heap, const void *address, enum mem_result why, void *context)
{
    struct script *s = context;
    assert_ok(mem_check(heap, NULL));
    s->nrefused++;
    s->address = address;
    s->why = why;
}

static void test_callbacks(void **state)
{
    (void)state;
    struct script s = {0};
    struct mem_options options = {.on_exhausted = give_up_reserve,
                                  .on_refused = note,
                                  .context = &s};
    mem_heap *heap = mem_heap_in(memory, 4096, &options);
    s.reserve = mem_alloc(heap, 2000);
    assert_non_null(mem_alloc(heap, 2500));
    assert_true(s.ncalls == 1 && s.wanted == 2500 && s.reserve == NULL);
    assert_null_for(MEM_NO_SPACE, mem_alloc(heap, 2501));
    assert_true(s.ncalls == 2 && s.wanted == 2501);
    char *p = mem_alloc(heap, 100);
    assert_int_equal(s.nrefused, 0);
    assert_int_equal(mem_free(heap, p + 7), MEM_INSIDE);
    assert_true(s.nrefused == 1 && s.address == p + 7 && s.why == MEM_INSIDE);
    assert_null_for(MEM_NOT_OURS, mem_resize(heap, &s, 7));
    assert_true(s.nrefused == 2 && s.address == &s && s.why == MEM_NOT_OURS);
    assert_int_equal(mem_free_any(heap, p + 100), MEM_NO_OBJECT);
    assert_int_equal(s.nrefused, 3);
    assert_ok(mem_free(heap, p));
    assert_int_equal(s.nrefused, 3);
    p = mem_alloc(heap, 100);
    s.reserve = mem_alloc(heap, 500);
    assert_true(s.ncalls == 2 && s.reserve != NULL && p != NULL);
    p = mem_resize(heap, p, 1200); /* mem_resize asks for room, too */
    assert_true(s.ncalls == 3 && s.wanted == 1200 && s.reserve == NULL && p != NULL);
    assert_null_for(MEM_NO_SPACE, mem_resize(heap, p, 3000));
    assert_int_equal(s.ncalls, 4);
}

static void test_a_limit(void **state)
{
    (void)state;
    struct mem_options options = {.limit = 1000};
    struct mem_statistics stats;
    mem_heap *heap = mem_heap_in(memory, 4096, &options);
    void *p = mem_alloc(heap, 600), *q = mem_alloc(heap, 400);
    assert_true(p != NULL && q != NULL);
    assert_null_for(MEM_OVER_LIMIT, mem_alloc(heap, 1));
    assert_null_for(MEM_OVER_LIMIT, mem_resize(heap, p, 601));
    assert_ptr_equal(mem_resize(heap, p, 599), p);
    assert_non_null(mem_resize(heap, q, 401));
    assert_null_for(MEM_OVER_LIMIT, mem_resize(heap, q, 402));
    assert_ok(mem_stats(heap, &stats));
    assert_true(stats.limit == 1000 && stats.live_bytes == 1000 && stats.peak_bytes == 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_callbacks),
        cmocka_unit_test(test_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * h18_foreign.c - H18: checks Mem_Init's heap by its handle, and a libmem-malloc.so of another
 * version, which this library refuses to use.
 *
 * test/contract/malloc/walk.c checks malloc's heap.
 */
#include "unit.h"

#include <string.h>

#include "mem.h"
#include "mem_heap.h"

#define assert_ok(call) assert_int_equal((call), MEM_OK)

void mem_heap_also(void *heap, size_t layout);

static void test_before(void **state)
{
    (void)state;
    static char heap[4096];
    assert_null(mem_heap_of_classic());
    assert_int_equal(mem_last_error(), MEM_NO_HEAP);
    assert_null(mem_heap_of_process());
    assert_int_equal(mem_last_error(), MEM_NO_HEAP);
    mem_heap_also(heap, 4711);
    assert_null(mem_heap_of_process());
    assert_int_equal(mem_last_error(), MEM_BAD_VERSION);
}

enum { NOBJECTS = 1000 };
static char *object[NOBJECTS];

static bool count(const struct mem_piece *p, void *context)
{
    size_t *n = context;
    if (!p->live)
        return true;
    assert_ptr_equal(p->heap, mem_heap_of_classic());
    assert_int_equal(Mem_GetSize(p->start), p->size); /* Asks the heap that is being walked. */
    ++*n;
    return true;
}

/* Frees the object after the next one and allocates it again. */
static bool change(const struct mem_piece *p, void *context)
{
    size_t *n = context;
    if (p->live && *n + 2 < NOBJECTS) {
        size_t i = *n + 2;
        assert_int_equal(Mem_Free(object[i] + i % 7), 0);
        assert_int_equal(*n % 2 == 0 ? (object[i] = Mem_Alloc((int)(i % 900) + 7)) == NULL : 0, 0);
        if (*n % 2 != 0)
            object[i] = Mem_Alloc(3000, BESTFIT);
    }
    *n += p->live;
    return true;
}

static void assert_adds_up(mem_heap *heap, size_t nobjects)
{
    struct mem_statistics s;
    size_t n = 0;
    assert_ok(mem_walk(heap, count, &n));
    assert_int_equal(n, nobjects);
    assert_ok(mem_stats(heap, &s));
    assert_int_equal(s.live_objects, nobjects);
    assert_in_range(s.resident_bytes, 1, s.region_bytes);
    assert_int_equal(s.region_bytes,
                     s.live_bytes + s.slack_bytes + s.free_bytes + s.metadata_bytes);
    assert_ok(mem_check(heap, NULL));
}

static void test_classic(void **state)
{
    (void)state;
    struct mem_piece found;
    size_t n = 0;
    assert_int_equal(Mem_Init(8 << 20), 0);
    mem_heap *heap = mem_heap_of_classic();
    assert_non_null(heap);
    assert_adds_up(heap, 0);
    struct mem_statistics fresh;
    assert_ok(mem_stats(heap, &fresh));
    /* Hardly any of the region was touched. */
    assert_true(fresh.resident_bytes < fresh.region_bytes);
    for (int i = 0; i < NOBJECTS; i++)
        object[i] = i % 3 == 0 ? Mem_Alloc(i + 1, FIRSTFIT) : Mem_Alloc(i % 900 + 7);
    assert_adds_up(heap, NOBJECTS);
    assert_ok(mem_find_in(heap, object[500] + 500, &found));
    assert_true(found.live && found.start == object[500] && found.heap == heap);
    assert_ok(mem_find(object[500], &found));
    assert_null(found.heap);
    assert_ok(mem_walk(heap, change, &n));
    assert_adds_up(heap, NOBJECTS);
    for (int i = 0; i < NOBJECTS; i++)
        assert_int_equal(Mem_Free(object[i]), 0);
    assert_adds_up(heap, 0);
}

static void test_refused(void **state)
{
    (void)state;
    mem_heap *heap = mem_heap_of_classic();
    void *p = Mem_Alloc(100);
    assert_null(mem_alloc(heap, 1));
    assert_int_equal(mem_last_error(), MEM_FOREIGN);
    assert_string_equal(mem_strerror(MEM_FOREIGN),
                        "the heap is malloc's or Mem_Init's, and this call is not for it");
    assert_int_equal(mem_free(heap, p), MEM_FOREIGN);
    assert_int_equal(mem_heap_destroy(heap), MEM_FOREIGN);
    assert_int_equal(Mem_Free(p), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_before),
                                       cmocka_unit_test(test_classic),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

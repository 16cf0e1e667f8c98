/* SPDX-License-Identifier: MIT
 *
 * readers.c - checks that each call of mem_heap.h which enters as a mutator leaves again, whatever
 * its outcome (heaps/readers.h): else lookups of that thread would never wait.
 */
#include "unit.h"

#include "heaps/readers.h"
#include "mem_heap.h"

enum { NBYTES = 1 << 21 };

static _Alignas(16) char buffer[NBYTES];

/* Makes a call, whose value does not matter. */
#define CALL(call)                                                                                 \
    do {                                                                                           \
        (void)(call);                                                                              \
        assert_int_equal(mutator_depth, 0);                                                        \
    } while (0)

static bool visit(const struct mem_piece *piece, void *heap)
{
    (void)mem_free(heap, piece->start); /* refused: the heap is being walked */
    return true;
}

/* Calls with one heap: small and large objects, and mistakes. */
static void call_all(mem_heap *heap)
{
    struct mem_statistics stats;
    struct mem_piece piece;
    const char *wrong;
    static const size_t sizes[] = {0, 1, 100, 3000, 200000, 2 * NBYTES, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *p = mem_alloc(heap, sizes[i]), *q = mem_zalloc(heap, sizes[i]);
        assert_int_equal(mutator_depth, 0);
        CALL(q = mem_resize(heap, q, sizes[i] / 2));
        CALL(q = mem_resize(heap, q, 4 * (sizes[i] / 3)));
        CALL(mem_resize(heap, buffer + 8, 100));
        CALL(mem_find(p, &piece));
        CALL(mem_find_in(heap, p, &piece));
        CALL(mem_free(heap, p));
        CALL(mem_free(heap, p)); /* once more */
        CALL(mem_free_any(heap, q));
        CALL(p = mem_aligned(heap, sizes[i], 256));
        CALL(mem_free(heap, p));
        CALL(p = mem_alloc_fit(heap, sizes[i], 32, MEM_BEST_FIT));
        CALL(mem_free(heap, p));
        CALL(mem_aligned(heap, sizes[i], 3));
    }
    CALL(mem_walk(heap, visit, heap));
    CALL(mem_stats(heap, &stats));
    CALL(mem_check(heap, &wrong));
}

static void test_heaps(void **state)
{
    (void)state;
    static const struct mem_options options[] = {{0},
                                                 {.flags = MEM_SINGLE_THREADED},
                                                 {.flags = MEM_SLOTS},
                                                 {.flags = MEM_CHECK_CALLS},
                                                 {.flags = MEM_GUARD_PAGES},
                                                 {.limit = 50000}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        mem_heap *heap = mem_heap_create(NBYTES, &options[i]);
        assert_non_null(heap);
        assert_int_equal(mutator_depth, 0);
        call_all(heap);
        CALL(mem_heap_destroy(heap));
    }
    for (size_t nbytes = 4096; nbytes <= NBYTES; nbytes = nbytes * 8) {
        mem_heap *heap = mem_heap_in(buffer, nbytes, NULL);
        assert_non_null(heap);
        assert_int_equal(mutator_depth, 0);
        call_all(heap);
        CALL(mem_heap_detach(heap));
        CALL(mem_heap_attach(buffer, nbytes, &options[1]));
        CALL(heap = mem_heap_attach(buffer, nbytes, NULL));
        CALL(mem_heap_destroy(heap));
    }
    CALL(mem_heap_create(10, NULL));
    CALL(mem_heap_in(NULL, 4096, NULL));
    call_all(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * h11_threads.c - H11: checks threads that share one heap, and threads with a heap each. It runs
 * under ThreadSanitizer, too.
 */
#include "unit.h"

#include <pthread.h>
#include <string.h>

#include "mem_heap.h"

enum { NTHREADS = 4, NCALLS = 20000, NHELD = 32 };

static pthread_barrier_t start;

struct worker {
    pthread_t thread;
    mem_heap *heap;
    uint64_t dice;
    size_t ntaken, nwrong;
    unsigned char mark;
};

static size_t count_other(const unsigned char *p, size_t size, unsigned char mark)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += p[i] != mark;
    return n;
}

static void resize(const struct worker *w, unsigned char **held, size_t *size, size_t to)
{
    unsigned char *now = mem_resize(w->heap, *held, to);
    if (now == NULL)
        return;
    if (to > *size)
        memset(now + *size, w->mark, to - *size);
    *held = now;
    *size = to;
}

/* Every object of a thread bears the thread's mark until the thread frees it. */
static void *work(void *argument)
{
    struct worker *w = argument;
    unsigned char *held[NHELD] = {0};
    size_t size[NHELD] = {0};
    pthread_barrier_wait(&start);
    for (int k = 0; k < NCALLS; k++) {
        int i = (int)rnd(&w->dice, NHELD);
        struct mem_piece found;
        if (held[i] != NULL) {
            w->nwrong += count_other(held[i], size[i], w->mark);
            w->nwrong += mem_find_in(w->heap, held[i] + size[i] / 2, &found) != MEM_OK ||
                         found.start != held[i] || found.size != size[i] || !found.live;
            w->nwrong += mem_free_any(w->heap, held[i] + size[i] - 1) != MEM_OK;
        }
        size[i] = 1 + rnd(&w->dice, 600);
        held[i] = k % 2 == 0 ? mem_alloc(w->heap, size[i])
                             : mem_alloc_fit(w->heap, size[i], 1, (enum mem_style)rnd(&w->dice, 4));
        if (held[i] != NULL)
            memset(held[i], w->mark, size[i]);
        if (held[i] != NULL && k % 4 == 0)
            resize(w, &held[i], &size[i], 1 + rnd(&w->dice, 600));
        w->ntaken += held[i] != NULL;
    }
    for (int i = 0; i < NHELD; i++)
        w->nwrong += mem_free(w->heap, held[i]) != MEM_OK;
    return NULL;
}

static void run(mem_heap *const heap[NTHREADS])
{
    struct worker w[NTHREADS];
    assert_int_equal(pthread_barrier_init(&start, NULL, NTHREADS), 0);
    for (int i = 0; i < NTHREADS; i++) {
        w[i] = (struct worker){.heap = heap[i],
                               .dice = (uint64_t)i + 1,
                               .mark = (unsigned char)(i + 1)};
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < NTHREADS; i++) {
        struct mem_statistics stats;
        assert_int_equal(pthread_join(w[i].thread, NULL), 0);
        assert_int_equal(w[i].nwrong, 0);
        assert_true(w[i].ntaken > NCALLS / 10);
        assert_int_equal(mem_check(heap[i], NULL), MEM_OK);
        assert_int_equal(mem_stats(heap[i], &stats), MEM_OK);
    }
}

static void one_heap(size_t nbytes)
{
    struct mem_statistics stats;
    mem_heap *heap = mem_heap_create(nbytes, NULL);
    run((mem_heap *[]){heap, heap, heap, heap});
    assert_int_equal(mem_stats(heap, &stats), MEM_OK);
    assert_int_equal(stats.live_objects, 0);
    assert_int_equal(stats.free_chunks, 1);
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
}

static void test_threads_on_one_heap(void **state)
{
    (void)state;
    one_heap(32 << 10); /* At times it is full. */
    one_heap(4 << 20);  /* It has slots. */
}

static void test_each_on_its_own(void **state)
{
    (void)state;
    mem_heap *heap[NTHREADS];
    for (unsigned flags = 0; flags <= MEM_SINGLE_THREADED; flags++) {
        struct mem_options options = {.flags = flags};
        for (int i = 0; i < NTHREADS; i++)
            heap[i] = mem_heap_create(i % 2 ? 20000 : 2 << 20, &options);
        run(heap);
        for (int i = 0; i < NTHREADS; i++)
            assert_int_equal(mem_heap_destroy(heap[i]), MEM_OK);
    }
}

static void *refused(void *heap)
{
    size_t nwrong = mem_last_error() != MEM_OK;
    for (int i = 0; i < 1000; i++)
        nwrong += mem_free(heap, &nwrong) != MEM_NOT_OURS || mem_last_error() != MEM_NOT_OURS;
    return nwrong == 0 ? NULL : heap;
}

static void test_each_has_its_own_error(void **state)
{
    (void)state;
    pthread_t thread;
    void *wrong;
    mem_heap *heap = mem_heap_create(4096, NULL);
    assert_null(mem_aligned(heap, 1, 3));
    assert_int_equal(pthread_create(&thread, NULL, refused, heap), 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(mem_last_error(), MEM_BAD_ALIGNMENT);
    assert_int_equal(pthread_join(thread, &wrong), 0);
    assert_null(wrong);
    assert_int_equal(mem_last_error(), MEM_BAD_ALIGNMENT);
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_on_one_heap),
        cmocka_unit_test(test_each_on_its_own),
        cmocka_unit_test(test_each_has_its_own_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

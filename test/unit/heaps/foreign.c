/* SPDX-License-Identifier: MIT
 *
 * foreign.c - checks what the calls with the handle of malloc's heap say of one that is damaged, or
 * that changes (heaps/foreign.h). The heap is one of this program, which is added as malloc's.
 */
#include "unit.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "core/counters.h"
#include "core/pieces.h"
#include "heaps/foreign.h"
#include "heaps/result.h"

enum { REGION_BYTES = 1 << 20, NOBJECTS = 300, SIZE = 20000 };

static _Alignas(4096) unsigned char region[REGION_BYTES];
static struct heap heap;
static mem_heap *handle;
static unsigned char *object[NOBJECTS];
static int nseen, most;

static void open_heap(void)
{
    heap = (struct heap){0};
    memset(region, 0, sizeof region);
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = sizeof region}, NULL);
    foreign_add(FOREIGN_MALLOC, &heap);
    handle = mem_heap_of_process();
    assert_non_null(handle);
    for (int i = 0; i < NOBJECTS; i++) {
        void *start;
        assert_int_equal(heap_take(&heap, i < 20 ? SIZE : 40, FIT_ANY, &start), HEAP_OK);
        object[i] = start;
    }
}

static bool count(const struct mem_piece *p, void *context)
{
    (void)context;
    nseen += p->live;
    return nseen < most;
}

static enum mem_result walk(int at_most)
{
    nseen = 0;
    most = at_most;
    return mem_walk(handle, count, NULL);
}

static void test_a_whole_heap(void **state)
{
    (void)state;
    struct mem_statistics s;
    open_heap();
    assert_int_equal(walk(INT32_MAX), MEM_OK);
    assert_int_equal(nseen, NOBJECTS);
    assert_int_equal(mem_stats(handle, &s), MEM_OK);
    assert_int_equal(s.live_objects, NOBJECTS);
    assert_int_equal(s.live_bytes, 20 * SIZE + (NOBJECTS - 20) * 40);
    assert_int_equal(s.peak_bytes, 0); /* nothing counts there */
    assert_int_equal(mem_check(handle, NULL), MEM_OK);
}

/* The first record is written over: the objects before it are shown, and the walk says the rest. */
static void test_a_damaged_heap(void **state)
{
    (void)state;
    struct mem_statistics s, before;
    const char *wrong = NULL;
    open_heap();
    struct cursor c;
    struct ledger *l = &heap.chunks.ledger;
    uint32_t start = (uint32_t)((size_t)(object[10] - region) / GRANULE_BYTES);
    assert_true(btree_floor(&l->b, BY_ADDRESS, word_of(start, UINT32_MAX), &c));
    btree_update(&l->b, &c, word_of(start, UINT32_MAX - 1));
    assert_int_equal(walk(INT32_MAX), MEM_DAMAGED);
    assert_in_range(nseen, 1, NOBJECTS - 1);
    assert_int_equal(walk(1), MEM_OK); /* the visitor did not come to the damage */
    memset(&before, 0x5A, sizeof before);
    s = before;
    assert_int_equal(mem_stats(handle, &s), MEM_DAMAGED);
    assert_memory_equal(&s, &before, sizeof s);
    assert_int_equal(mem_check(handle, &wrong), MEM_DAMAGED);
    assert_string_equal(wrong, "the record of an object says more slack than it is long");
    assert_int_equal(mem_check(handle, NULL), MEM_DAMAGED);
}

static void *end_the_change(void *nothing)
{
    (void)nothing;
    while (__atomic_load_n(&heap.lock.state, __ATOMIC_RELAXED) != LOCK_WAITED_FOR)
        usleep(1000); /* until the lookup waits for the lock */
    heap.spans.changes++;
    heap_unlock(&heap);
    return NULL;
}

/* A lookup that finds the heap changing takes its lock, and then the change is over. */
static void test_a_heap_that_changes(void **state)
{
    (void)state;
    struct mem_piece p;
    pthread_t thread;
    open_heap();
    assert_int_equal(mem_find_in(handle, object[5] + 7, &p), MEM_OK);
    heap_lock(&heap);
    heap.spans.changes++;
    assert_int_equal(pthread_create(&thread, NULL, end_the_change, NULL), 0);
    assert_int_equal(mem_find_in(handle, object[5] + 7, &p), MEM_OK);
    assert_ptr_equal(p.start, object[5]);
    assert_int_equal(p.size, SIZE);
    pthread_join(thread, NULL);
    assert_int_equal(heap.spans.changes % 2, 0);
}

/* A heap that counts says the most that it ever held. */
static void test_a_heap_that_counts(void **state)
{
    (void)state;
    static struct counters counters;
    struct mem_statistics s;
    open_heap();
    assert_int_equal(heap_free(&heap, object[0]), HEAP_OK);
    assert_true(heap_count_locked(&heap, &counters));
    assert_int_equal(heap_free(&heap, object[1]), HEAP_OK);
    assert_int_equal(mem_stats(handle, &s), MEM_OK);
    assert_int_equal(s.peak_bytes, 18 * SIZE + (NOBJECTS - 20) * 40 + SIZE);
}

/* Each result of a heap has one of the caller's. What only the classic heap can say, or what says
 * that nothing is known yet, can only come from damage here. */
static void test_results(void **state)
{
    (void)state;
    static const struct {
        enum heap_result from;
        enum mem_result to;
    } pairs[] = {{HEAP_OK, MEM_OK},
                 {HEAP_NO_SPACE, MEM_NO_SPACE},
                 {HEAP_NOT_OURS, MEM_NOT_OURS},
                 {HEAP_NO_OBJECT, MEM_NO_OBJECT},
                 {HEAP_NOT_A_SLOT, MEM_NO_OBJECT},
                 {HEAP_FREE, MEM_FREE},
                 {HEAP_INSIDE, MEM_INSIDE},
                 {HEAP_CHANGING, MEM_BUSY},
                 {HEAP_NO_REGION, MEM_DAMAGED},
                 {HEAP_LIST_DAMAGED, MEM_DAMAGED},
                 {HEAP_DAMAGED, MEM_DAMAGED}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_int_equal(result_of_heap(pairs[i].from), pairs[i].to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_heap),
        cmocka_unit_test(test_a_damaged_heap),
        cmocka_unit_test(test_a_heap_that_changes),
        cmocka_unit_test(test_a_heap_that_counts),
        cmocka_unit_test(test_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

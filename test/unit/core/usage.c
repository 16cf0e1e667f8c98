/* SPDX-License-Identifier: MIT
 *
 * usage.c - checks how much of a heap is said to be live and free (core/usage.h) against a walk
 * over all of it: with one thread after each few calls, and with many after they have ended.
 */
#include "unit.h"

#include <pthread.h>

#include "base/region.h"
#include "core/pieces.h"
#include "core/usage.h"

enum { REGION = 1 << 27, NOBJECTS = 6000, LARGEST = 200000 };

static struct heap heap;
static struct region region;
static void *object[NOBJECTS];

static void open_heap(void)
{
    if (region.base != NULL)
        munmap(region.base, region.nbytes);
    region = (struct region){0};
    assert_int_equal(region_reserve(&region, REGION), REGION_OK);
    heap_open_locked(&heap, region, NULL);
    assert_true(heap.has_tcaches);
}

/* Allocates and frees as malloc and free do. */
static void *take(struct thread *t, size_t nbytes)
{
    void *p;
    unsigned sizeclass = heap_sizeclass(&heap, nbytes, 1);
    bool has = thread_tcache(t) != NULL;
    if (has && tcache_take_small(t, nbytes, &p))
        return p;
    while (has && sizeclass < NCLASSES) {
        if (tcache_take(t, nbytes, sizeclass, &p, NULL))
            return p;
        has = heap_refill(&heap, t, sizeclass);
    }
    return heap_take(&heap, nbytes, FIT_ANY, &p) == HEAP_OK ? p : NULL;
}

static void give(struct thread *t, void *p)
{
    enum tcache_freed freed = tcache_free(t, p);
    if (freed == TCACHE_FREED_REFILE)
        heap_refile(&heap, p);
    if (freed == TCACHE_NOT_FREED)
        assert_int_equal(heap_free_exact(&heap, p), HEAP_OK);
}

static void assert_as_walked(void)
{
    struct pieces_tally walked = tally_heap(&heap);
    struct usage u = heap_usage(&heap);
    assert_int_equal(u.live_bytes, walked.object_bytes + walked.slack_bytes);
    assert_int_equal(u.slots.nfree, walked.nfree_slots);
    assert_int_equal(u.slots.free_bytes, walked.free_slot_bytes);
    assert_int_equal(u.free_bytes, u.slots.free_bytes + u.free_chunk_bytes);
    /* The walk sees all of the tail, of which a part is not open, or all. */
    const struct ledger *l = &heap.chunks.ledger;
    struct chunk tail = ledger_tail(l);
    assert_int_equal(u.nfree_chunks + (tail.start == l->guard.low), walked.nfree_chunks);
    size_t closed = tail.start + tail.length - l->guard.low;
    assert_true(l->guard.high != 0 && tail.start <= l->guard.low);
    assert_int_equal(u.free_chunk_bytes + closed * GRANULE_BYTES, walked.free_chunk_bytes);
    assert_int_equal(u.reserved_bytes, REGION);
    assert_true(u.live_bytes + u.free_bytes <= u.open_bytes && u.open_bytes < REGION);
    assert_true(u.trimmable_bytes <= u.free_bytes);
}

static size_t any_size(uint64_t *dice)
{
    return rnd(dice, 20) == 0 ? rnd(dice, LARGEST) : rnd(dice, 16u << rnd(dice, 9));
}

static void change(struct thread *t, uint64_t *dice, bool grow)
{
    void **p = &object[rnd(dice, NOBJECTS)];
    if (*p != NULL)
        give(t, *p), *p = NULL;
    else if (grow)
        *p = take(t, any_size(dice));
}

static void free_all(struct thread *t)
{
    for (int i = 0; i < NOBJECTS; i++)
        if (object[i] != NULL)
            give(t, object[i]), object[i] = NULL;
}

/* The heap grows, shrinks, and grows, with a cache and without, so that spans pass through all that
 * can become of them. */
static void test_one_thread(void **state)
{
    (void)state;
    uint64_t dice = 7;
    struct thread self = {0};
    open_heap();
    assert_true(heap_usage(&heap).live_bytes == 0);
    for (int life = 0; life < share_of(8); life++) {
        if (life % 4 != 3)
            heap_join(&heap, &self);
        for (int i = 0; i < 20000; i++) {
            change(&self, &dice, i / 5000 % 2 == 0);
            if (i % 50 == 0)
                assert_as_walked();
            if (i == 9000)
                heap_trim(&heap); /* closes the cache */
            if (i == 11000)
                heap_join(&heap, &self);
        }
        assert_int_equal(check_heap(&heap), HEAP_OK);
        heap_leave(&heap, &self);
        self.has_ended = false;
        assert_as_walked();
    }
    free_all(&self);
    heap_trim(&heap);
    assert_as_walked();
    assert_int_equal(heap_usage(&heap).live_bytes, 0);
    assert_int_equal(heap_usage(&heap).trimmable_bytes, 0);
}

/* Frees object i, and checks that its slot counts as free at once. */
static void free_one(struct thread *t, size_t i)
{
    size_t before = heap_usage(&heap).live_bytes;
    give(t, object[i]);
    object[i] = NULL;
    assert_int_equal(heap_usage(&heap).live_bytes, before - 512);
}

/* Most of these frees end no countdown: neither while more spans are used up than a thread can
 * park, so that it gives the oldest up again without counting them, nor while nearly all of a span
 * is freed. */
static void test_frees_that_end_no_countdown(void **state)
{
    (void)state;
    enum { A_FEW_SPANS_AGO = 400, FEW = 50 };
    struct thread self = {0};
    open_heap();
    heap_join(&heap, &self);
    for (size_t i = 0; i < NOBJECTS; i++) {
        object[i] = take(&self, 500);
        if (i >= A_FEW_SPANS_AGO && i % FEW == 0)
            free_one(&self, i - A_FEW_SPANS_AGO);
        if (i % FEW == 1)
            assert_as_walked();
    }
    for (size_t i = 0; i < NOBJECTS; i++)
        if (object[i] != NULL && i % 5 != 0)
            free_one(&self, i);
    assert_as_walked();
    free_all(&self);
    heap_leave(&heap, &self);
}

/* --- threads ------------------------------------------------------------------------ */

enum { NTHREADS = 4 };
static pthread_barrier_t all_have_taken;

/* Each frees what all have taken, in turn, so that threads free in the same spans. */
static void *work(void *number)
{
    struct thread self = {0};
    size_t from = (size_t)(uintptr_t)number;
    heap_join(&heap, &self);
    for (size_t i = from; i < NOBJECTS; i += NTHREADS)
        object[i] = take(&self, 64);
    pthread_barrier_wait(&all_have_taken);
    for (size_t i = (from + 1) % NTHREADS; i < NOBJECTS / 2; i += NTHREADS)
        give(&self, object[i]), object[i] = NULL;
    heap_leave(&heap, &self);
    return NULL;
}

/* What is asked meanwhile is some number that can be; afterwards, once the spans are counted, it is
 * right. */
static void test_many_threads(void **state)
{
    (void)state;
    pthread_t thread[NTHREADS];
    struct thread self = {0};
    open_heap();
    pthread_barrier_init(&all_have_taken, NULL, NTHREADS);
    for (uintptr_t i = 0; i < NTHREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)i), 0);
    for (int i = 0; i < 1000; i++) {
        struct usage u = heap_usage(&heap);
        assert_true(u.live_bytes <= (NOBJECTS + 64 * NTHREADS) * 64);
        assert_true(u.live_bytes + u.free_bytes < REGION);
    }
    for (int i = 0; i < NTHREADS; i++)
        pthread_join(thread[i], NULL);
    heap_trim(&heap);
    assert_as_walked();
    assert_int_equal(heap_usage(&heap).live_bytes, NOBJECTS / 2 * 64);
    free_all(&self);
    heap_trim(&heap);
    assert_int_equal(heap_usage(&heap).live_bytes, 0);
}

/* A heap that is not open has nothing. */
static void test_no_region(void **state)
{
    (void)state;
    static struct heap none;
    static const struct usage nothing;
    struct usage u = heap_usage(&none);
    assert_memory_equal(&u, &nothing, sizeof u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_thread),
        cmocka_unit_test(test_frees_that_end_no_countdown),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_no_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

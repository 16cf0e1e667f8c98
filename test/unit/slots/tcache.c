/* SPDX-License-Identifier: MIT
 *
 * tcache.c - checks small objects without the lock (slots/tcache.h), with one thread and with
 * many.
 *
 * The region is so small that spans come, go and are revoked all the time. Every object is filled
 * with its own mark, so that memory that is handed out twice, or taken away while in use, is
 * noticed.
 */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/os.h"
#include "core/pieces.h"
#include "slots/queue.h"

enum { REGION = 1 << 29, SIZE_MAX_TAKEN = 70000 };

static _Alignas(1 << 16) unsigned char region[REGION];
static struct thread uncached = {.has_ended = true}; /* This thread has no cache. */
static struct heap heap;

static void open_heap(void)
{
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = REGION}, NULL);
    assert_true(heap.has_tcaches);
}

/* Allocates as malloc does with a thread cache. Returns NULL if there is no space. */
static void *take(struct thread *t, size_t nbytes)
{
    void *object;
    unsigned sizeclass = heap_sizeclass(&heap, nbytes, 1);
    while (thread_tcache(t) != NULL && sizeclass < NCLASSES) {
        /* Other sizes take the general way. */
        bool small = nbytes <= TCACHE_SMALL_MAX && nbytes % 3 > 0;
        if ((small && (tcache_take_small(t, nbytes, &object) ||
                       (nbytes % 3 == 1 && tcache_take_again(t, nbytes, &object)))) ||
            (nbytes > TCACHE_SMALL_MAX && nbytes % 5 > 0 &&
             (is_wide(nbytes) && nbytes % 2 > 0
                  ? tcache_take_wide(t, nbytes, &object)
                  : tcache_take_large(t, nbytes, sizeclass, &object, NULL))) ||
            tcache_take(t, nbytes, sizeclass, &object, NULL))
            return object;
        if (!heap_refill(&heap, t, sizeclass))
            break;
    }
    return heap_take(&heap, nbytes, FIT_ANY, &object) == HEAP_OK ? object : NULL;
}

static enum heap_result give(struct thread *t, const void *address)
{
    enum tcache_freed freed = tcache_free(t, address);
    if (freed == TCACHE_FREED_REFILE)
        heap_refile(&heap, address);
    return freed == TCACHE_NOT_FREED ? heap_free_exact(&heap, address) : HEAP_OK;
}

static size_t size_of(struct thread *t, const void *address)
{
    size_t nbytes = SIZE_MAX;
    struct object found;
    if (tcache_size(t, address, &nbytes))
        return nbytes;
    return heap_find_exact(&heap, address, &found) == HEAP_OK ? found.size : SIZE_MAX;
}

/* Checks that the whole region is free, though threads may still have caches [C5]. */
static void assert_whole(void)
{
    void *all;
    assert_int_equal(heap_take(&heap, REGION - 48, FIT_ANY, &all), HEAP_OK);
    assert_int_equal(heap_free(&heap, all), HEAP_OK);
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

/* --- one thread --------------------------------------------------------------------- */

static void test_every_size(void **state)
{
    (void)state;
    static unsigned char *object[SPAN_OBJECT_MAX + 1];
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    assert_non_null(thread_tcache(t));
    for (size_t step = 0; step < 7; step++) {
        for (size_t n = step; n <= SPAN_OBJECT_MAX; n += 37) {
            object[n] = take(t, n);
            assert_non_null(object[n]);
            assert_int_equal((uintptr_t)object[n] % 16, 0);
            memset(object[n], (int)(n % 251), n);
            assert_int_equal(size_of(t, object[n]), n);
        }
        for (size_t n = step; n <= SPAN_OBJECT_MAX; n += 37) {
            for (size_t i = 0; i < n; i += 11)
                assert_int_equal(object[n][i], n % 251);
            assert_int_equal(give(t, object[n] + 1), n > 1 ? HEAP_INSIDE : HEAP_NO_OBJECT);
            if (n > 1024)
                assert_int_equal(give(t, object[n] + 1024), HEAP_INSIDE);
            assert_int_equal(give(t, object[n]), HEAP_OK);
            assert_int_equal(give(t, object[n]), HEAP_FREE);
            assert_int_equal(give(&uncached, object[n]), HEAP_FREE);
        }
    }
    assert_int_equal(check_heap(&heap), HEAP_OK);
    assert_int_equal(give(t, (void *)((uintptr_t)region - 1)), HEAP_NOT_OURS);
    assert_int_equal(give(t, NULL), HEAP_NOT_OURS);
    assert_int_equal(give(t, t->tcache), HEAP_NO_OBJECT); /* This is the library's own memory. */
    assert_int_equal(give(t, t->tcache->window[sizeclass_of(74)]->at.states), HEAP_NO_OBJECT);
    heap_leave(&heap, t);
    assert_whole();
}

/* A window that is never used up: its countdown comes to its end after 2^30 frees, here after 3. */
static void test_a_span_in_use_for_ever(void **state)
{
    (void)state;
    struct thread self = {0}, *t = &self;
    struct slot_ref at = {0};
    unsigned nrecounts = 0;
    open_heap();
    heap_join(&heap, t);
    void *object = take(t, 64);
    assert_true(tcache_find(thread_tcache(t), object, &at));
    at.span->countdown = 3;
    for (int i = 0; i < 100; i++) {
        enum tcache_freed freed = tcache_free(t, object);
        assert_int_not_equal(freed, TCACHE_NOT_FREED);
        if (freed == TCACHE_FREED_REFILE) {
            heap_refile(&heap, object);
            nrecounts++;
        }
        object = take(t, 64);
    }
    assert_int_equal(nrecounts, 1);
    assert_int_equal(give(t, object), HEAP_OK);
    heap_leave(&heap, t);
    assert_whole();
}

/* Allocates from the thread cache, or from the heap if the cache cannot. *nfast counts the
 * objects from the cache. */
static void *take_aligned(struct thread *t, size_t nbytes, size_t align, unsigned *nfast)
{
    void *object;
    unsigned sizeclass = heap_sizeclass(&heap, nbytes, align);
    for (int i = 0; i < 2; i++) {
        if (tcache_take_aligned(t, nbytes, align, &object)) {
            ++*nfast;
            return object;
        }
        if (sizeclass == NCLASSES || sizeclass_bytes(sizeclass) > TCACHE_SMALL_MAX)
            break;
        if (t->tcache->window[sizeclass]->at.mask == 0)
            heap_refill(&heap, t, sizeclass);
    }
    enum heap_result result = heap_take_aligned(&heap, nbytes, align, &object);
    return result == HEAP_OK ? object : NULL;
}

static void test_every_alignment(void **state)
{
    (void)state;
    enum { MOST = TCACHE_SMALL_MAX + 100 };
    static unsigned char *object[MOST];
    unsigned nfast = 0, nsmall = 0, ntoo_near = 0, nnever = 0;
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    for (size_t align = 1; align <= 2 * TCACHE_SMALL_MAX; align *= 2) {
        for (size_t n = 0; n < MOST; n++) {
            object[n] = take_aligned(t, n, align, &nfast);
            nsmall += n >= 3 && n <= TCACHE_SMALL_MAX && align <= TCACHE_SMALL_MAX;
            ntoo_near += (uintptr_t)object[n] % align != 0 || object[n] == NULL;
            memset(object[n], (int)(n % 251), n);
        }
        for (size_t n = 0; n < MOST; n++) {
            for (size_t i = 0; i < n; i++)
                ntoo_near += object[n][i] != n % 251;
            assert_int_equal(size_of(t, object[n]), n);
            assert_int_equal(give(t, object[n]), HEAP_OK);
            assert_int_equal(give(t, object[n]), HEAP_FREE);
        }
    }
    assert_int_equal(ntoo_near, 0);
    assert_int_equal(nfast, nsmall);
    take_aligned(t, SIZE_MAX - 62, 64, &nnever); /* The size, rounded up, would wrap to 0. */
    take_aligned(t, SIZE_MAX, 64, &nnever);
    take_aligned(t, 1, (size_t)1 << 63, &nnever);
    assert_int_equal(nnever, 0);
    heap_leave(&heap, t);
    assert_whole();
}

static void test_what_lies_behind_the_last_slot(void **state)
{
    (void)state;
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    /* A span has 1,365 slots of this size, and 16 bytes are left over. */
    unsigned char *p = take(t, 48);
    unsigned char *rest = (unsigned char *)((uintptr_t)p & ~(uintptr_t)0xFFFF) + 1365 * 48;
    assert_int_equal(give(t, rest), HEAP_FREE);
    for (int i = 1; i < 1365; i++)
        assert_ptr_not_equal(take(t, 48), rest);
    assert_int_equal(give(t, rest), HEAP_FREE);
    heap_leave(&heap, t);
}

static void test_resize_in_the_slot(void **state)
{
    (void)state;
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    unsigned char *narrow = take(t, 1000), *wide = take(t, 5000);
    size_t old;
    assert_true(tcache_resize(t, narrow, 1024, &old) && old == 1000 && size_of(t, narrow) == 1024);
    assert_true(tcache_resize(t, narrow, 600, &old) && size_of(t, narrow) == 600);
    assert_false(tcache_resize(t, narrow, 1025, &old) || tcache_resize(t, narrow, 200, &old));
    assert_false(tcache_resize(t, narrow + 1, 900, &old) ||
                 tcache_resize(t, narrow + 1024, 900, &old));
    assert_int_equal(old, SIZE_MAX);
    assert_int_equal(size_of(t, narrow), 600);
    assert_false(tcache_resize(t, narrow, 1025, &old) || old != 600);
    assert_true(tcache_resize_near(t, narrow, 1024) && size_of(t, narrow) == 1024);
    assert_true(tcache_resize_near(t, narrow, 1024) && size_of(t, narrow) == 1024);
    assert_true(tcache_resize_near(t, narrow, 771) && size_of(t, narrow) == 771);
    assert_false(tcache_resize_near(t, narrow, 770) || tcache_resize_near(t, narrow, 1025));
    assert_false(tcache_resize_near(t, narrow, 0) || tcache_resize_near(t, narrow, SIZE_MAX));
    assert_false(tcache_resize_near(t, narrow + 1, 900) ||
                 tcache_resize_near(&uncached, narrow, 900) || tcache_resize_near(t, NULL, 900));
    unsigned char *small = take(t, 16);
    assert_true(tcache_resize_near(t, small, 1) && size_of(t, small) == 1);
    assert_false(tcache_resize_near(t, small, 0));
    assert_true(size_of(t, small) == 1 && give(t, small) == HEAP_OK);
    assert_false(tcache_resize_near(t, small, 2));
    assert_true(size_of(t, narrow) == 771 && tcache_resize(t, narrow, 600, &old));
    assert_true(tcache_resize(t, wide, 5120, &old) && size_of(t, wide) == 5120);
    assert_true(tcache_resize(t, wide, 3000, &old) && size_of(t, wide) == 3000);
    assert_false(tcache_resize(t, wide, 5121, &old) || tcache_resize(t, wide, 1200, &old));
    /* The lookup under the lock gives the same size. */
    assert_int_equal(size_of(&uncached, wide), 3000);
    assert_int_equal(give(t, narrow), HEAP_OK);
    assert_false(tcache_resize(t, narrow, 800, &old) || old != SIZE_MAX);
    heap_leave(&heap, t);
}

/* A program that allocates and frees in pairs uses few slots again and again, so that they stay
 * in the processor's cache. */
static void test_pairs_stay_where_they_are(void **state)
{
    (void)state;
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    unsigned char *first = take(t, 64);
    assert_int_equal(give(t, first), HEAP_OK);
    for (int i = 0; i < 10000; i++) {
        unsigned char *p = take(t, 64);
        assert_true(p >= first && p < first + 64 * 64);
        assert_int_equal(give(t, p), HEAP_OK);
    }
    heap_leave(&heap, t);
}

/* WI4: of a class that a program uses now and then, in between others, few slots come into use.
 * One that it uses all the time gets a whole window, so that it is looked for less often. */
static void test_few_slots_at_a_time(void **state)
{
    (void)state;
    enum { SIZE = 1024, OTHERS = 20, FEW = 4, ROUNDS = 100, NPAIRS = 64 * 1000 };
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    unsigned char *first = take(t, SIZE);
    assert_int_equal(give(t, first), HEAP_OK);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 2 * FEW; i++) {
            unsigned char *p = take(t, SIZE);
            assert_true(p >= first && p < first + (size_t)FEW * SIZE);
            assert_int_equal(give(t, p), HEAP_OK);
        }
        for (size_t other = 1; other <= OTHERS; other++)
            for (int i = 0; i < 64; i++)
                assert_int_equal(give(t, take(t, 16 * other)), HEAP_OK);
    }
    uint32_t nlooks = t->tcache->nlooks;
    for (int i = 0; i < NPAIRS; i++)
        assert_int_equal(give(t, take(t, SIZE)), HEAP_OK);
    assert_in_range(t->tcache->nlooks - nlooks, NPAIRS / 64, NPAIRS / 64 + 20);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    heap_leave(&heap, t);
}

/* When the mask is used up, the 64 slots of the window are looked at again, and then the next 64; a
 * slot that lies farther off, or hardly a free one, is left to tcache_take. */
static void test_a_look_nearby(void **state)
{
    (void)state;
    enum { SIZE = 64, NWINDOWS = 4, N = NWINDOWS * STATES_AT_ONCE, ENOUGH = STATES_AT_ONCE / 8 };
    unsigned char *object[N];
    void *again;
    open_heap();
    struct thread self = {0}, *t = &self;
    assert_false(tcache_take_again(t, SIZE, &again)); /* no cache */
    heap_join(&heap, t);
    assert_false(tcache_take_again(t, SIZE, &again)); /* no span */
    for (uint32_t i = 0; i < N; i++)
        object[i] = take(t, SIZE);
    struct class_window *w = t->tcache->window[sizeclass_of(SIZE)];
    for (uint32_t away = 0; away < 3; away++) {
        uint32_t from = w->first, at = (from + away * STATES_AT_ONCE) % N;
        uint32_t nlooks = t->tcache->nlooks;
        for (uint32_t i = 0; i < ENOUGH; i++) {
            assert_false(tcache_take_again(t, SIZE, &again));
            assert_int_equal(w->at.mask, 0);
            window_move(w, from);
            assert_int_equal(give(t, object[at + 5 * i]), HEAP_OK);
        }
        assert_int_equal(t->tcache->nlooks, nlooks); /* tcache_take counts a look in vain */
        assert_int_equal(tcache_take_again(t, SIZE, &again), away < 2);
        assert_int_equal(t->tcache->nlooks, nlooks + (away < 2));
        if (away == 2)
            assert_true(tcache_take(t, SIZE, sizeclass_of(SIZE), &again, NULL));
        assert_ptr_equal(again, object[at]);
        for (uint32_t i = 1; i < ENOUGH; i++) {
            assert_true(tcache_take_small(t, SIZE, &again));
            assert_ptr_equal(again, object[at + 5 * i]);
        }
    }
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(give(t, object[i]), HEAP_OK);
    window_park(w, &t->tcache->view);
    assert_false(tcache_take_again(t, SIZE, &again)); /* its span may be another thread's soon */
    heap_leave(&heap, t);
    assert_whole();
}

enum { OF_1K = SLICE_BYTES / 1024, NUSED = 4 * OF_1K };

/* Fills four spans with objects of 1 KiB; all except the last one are parked. */
static void use_up(struct thread *t, unsigned char *object[NUSED])
{
    for (int i = 0; i < NUSED; i++) {
        object[i] = take(t, 1024);
        assert_ptr_equal(object[i], object[i - i % OF_1K] + i % OF_1K * 1024);
    }
    assert_int_equal(t->tcache->window[sizeclass_of(1024)]->nparked, NUSED / OF_1K - 1);
}

/* When any thread has freed enough of the oldest parked span, the owner unparks it without the
 * lock. */
static void test_a_parked_span_is_unparked(void **state)
{
    (void)state;
    unsigned char *object[NUSED];
    void *again;
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    use_up(t, object);
    const struct class_window *w = t->tcache->window[sizeclass_of(1024)];
    const uint32_t slice = w->slice;
    for (int i = 0; i < OF_1K / 8; i++) {
        assert_false(tcache_take(t, 1024, sizeclass_of(1024), &again, NULL));
        assert_int_equal(w->slice, slice); /* The oldest is left alone. */
        assert_int_equal(give(i % 2 ? t : &uncached, object[8 * i]), HEAP_OK);
    }
    for (int i = 0; i < OF_1K / 8; i++) {
        assert_true(tcache_take(t, 1024, sizeclass_of(1024), &again, NULL));
        assert_ptr_equal(again, object[8 * i]);
    }
    assert_false(tcache_take(t, 1024, sizeclass_of(1024), &again, NULL));
    heap_leave(&heap, t);
    for (int i = 0; i < NUSED; i++)
        assert_int_equal(give(t, object[i]), HEAP_OK);
    assert_whole();
}

/* A thread that frees while a span is being parked may put back the countdown that it had read
 * before, which then never ends. The owner finds what is free nevertheless. */
static void test_a_countdown_that_a_free_has_undone(void **state)
{
    (void)state;
    unsigned char *object[NUSED];
    void *again;
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    use_up(t, object);
    const struct class_window *w = t->tcache->window[sizeclass_of(1024)];
    struct span *first = pagemap_span(&heap.spans, w->parked[w->oldest]);
    const struct span *owned = pagemap_span(&heap.spans, w->slice);
    assert_true(first->countdown < owned->countdown);
    first->countdown = owned->countdown; /* what it was before the span was parked */
    heap.spans.may_have_raced = 1;       /* else a check of the heap would find fault with it */
    for (int i = 0; i < OF_1K; i++)
        assert_int_equal(give(&uncached, object[i]), HEAP_OK);
    for (int i = 0; i < OF_1K; i++) {
        assert_true(tcache_take(t, 1024, sizeclass_of(1024), &again, NULL));
        assert_ptr_equal(again, object[i]);
    }
    heap_leave(&heap, t);
    for (int i = 0; i < NUSED; i++)
        assert_int_equal(give(t, object[i]), HEAP_OK);
    assert_whole();
}

/* When most of a parked span was freed, another thread may claim it; then its owner does not
 * unpark it. */
static void test_a_parked_span_is_claimed(void **state)
{
    (void)state;
    unsigned char *object[NUSED], *again;
    open_heap();
    struct thread self = {0}, other = {0}, *t = &self;
    heap_join(&heap, t);
    heap_join(&heap, &other);
    use_up(t, object);
    for (int i = 0; i < OF_1K - 1; i++)
        assert_int_equal(give(&other, object[i]), HEAP_OK);
    for (int i = 0; i < OF_1K - 1; i++)
        assert_ptr_equal(take(&other, 1024), object[i]);
    /* It comes from the second span, which is still parked, or from a new one. */
    for (int i = 0; i < OF_1K; i++) {
        again = take(t, 1024);
        assert_true(again < object[0] || again >= object[0] + SLICE_BYTES);
    }
    assert_int_equal(check_heap(&heap), HEAP_OK);
    heap_leave(&heap, &other);
    heap_leave(&heap, t);
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

/* QU2: a PARTIAL span that is counted again keeps its place before those that came later, until it
 * is EMPTY. */
static void test_a_partial_span_keeps_its_place(void **state)
{
    (void)state;
    enum { PART = OF_1K / 8 };
    const unsigned class = sizeclass_of(1024);
    unsigned char *object[NUSED];
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    use_up(t, object);
    heap_leave(&heap, t);
    const uint32_t first = pagemap_slice(&heap.spans, (uintptr_t)object[0]);
    const uint32_t second = pagemap_slice(&heap.spans, (uintptr_t)object[OF_1K]);
    for (int i = 0; i < 2 * PART; i++) /* the first PART of each of two spans */
        assert_int_equal(give(t, object[i % PART + i / PART * OF_1K]), HEAP_OK);
    for (int i = PART; i < OF_1K; i++) {
        assert_int_equal(queue_first(&heap.spans, FOR_OBJECTS, class, false), first);
        assert_int_equal(give(t, object[i]), HEAP_OK);
        spans_refile(&heap.spans, object[i]);
        assert_int_equal(check_heap(&heap), HEAP_OK);
    }
    assert_int_equal(pagemap_span(&heap.spans, first)->status, SPAN_EMPTY);
    assert_int_equal(queue_first(&heap.spans, FOR_OBJECTS, class, false), second);
    for (int i = OF_1K + PART; i < NUSED; i++)
        assert_int_equal(give(t, object[i]), HEAP_OK);
    assert_whole();
}

/* An empty span of one class becomes a span of another class where it lies, whether other threads
 * may have been reading it until then or not. */
static void test_an_empty_span_serves_another_class(void **state)
{
    (void)state;
    unsigned char *object[OF_1K + 1];
    for (size_t size = 16; size <= 4096; size *= 4) {
        for (int nothers = 0; nothers < 2; nothers++) {
            open_heap();
            struct thread self = {0}, other = {0}, *t = &self;
            heap_join(&heap, t);
            for (int i = 0; i <= OF_1K; i++)
                object[i] = take(t, 1023); /* one more than a span has slots */
            for (int i = 0; i < OF_1K; i++)
                assert_int_equal(give(t, object[i]), HEAP_OK);
            assert_int_equal(heap.spans.nempty, 1);
            if (nothers > 0)
                heap_join(&heap, &other);
            unsigned char *p = take(t, size + 1);
            memset(p, 1, size + 1);
            assert_true(p >= object[0] && p < object[0] + SLICE_BYTES);
            assert_int_equal(size_of(t, p), size + 1);
            assert_int_equal(give(t, p + 1), HEAP_INSIDE);
            assert_int_equal(check_heap(&heap), HEAP_OK);
            heap_leave(&heap, &other);
            heap_leave(&heap, t);
            assert_int_equal(check_heap(&heap), HEAP_OK);
        }
    }
}

/* When a new span is made, two EMPTY large-slot spans of another class stay if one thread has a
 * cache, and one if several have. */
static void test_how_many_large_slot_spans_stay(void **state)
{
    (void)state;
    enum { SIZE = 16384, MOST = 2 };
    unsigned char *object[MOST * WIDE_SLOTS + 1];
    for (uint32_t nspans = 1; nspans <= MOST; nspans++) {
        for (int nothers = 0; nothers < 2; nothers++) {
            open_heap();
            struct thread self = {0}, other = {0}, *t = &self;
            heap_join(&heap, t);
            for (uint32_t i = 0; i <= nspans * WIDE_SLOTS; i++)
                object[i] = take(t, SIZE);
            for (uint32_t i = 0; i < nspans * WIDE_SLOTS; i++)
                assert_int_equal(give(t, object[i]), HEAP_OK);
            assert_int_equal(heap.spans.nempty, nspans * WIDE_SLICES);
            if (nothers > 0)
                heap_join(&heap, &other);
            assert_non_null(take(t, 100));
            bool stay = nspans == 1 || nothers == 0;
            assert_int_equal(heap.spans.nempty, stay ? nspans * WIDE_SLICES : 0);
            assert_int_equal(check_heap(&heap), HEAP_OK);
            heap_leave(&heap, &other);
            heap_leave(&heap, t);
        }
    }
}

/* Without room for the state array that the other class needs, the span is not recut. It goes back,
 * and the object lies in a chunk. */
static void test_no_room_to_recut(void **state)
{
    (void)state;
    unsigned char *object[OF_1K + 1];
    struct ledger *l = &heap.chunks.ledger;
    struct chunk from;
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    for (int i = 0; i <= OF_1K; i++)
        object[i] = take(t, 1023); /* one more than a span has slots */
    while (ledger_choose(l, 1, FIT_FIRST, &from))
        ledger_take(l, &from, from.length, 0);
    while (spans_take_metadata(&heap.spans, LINE_BYTES) != NULL)
        continue;
    for (int i = 0; i < OF_1K; i++)
        assert_int_equal(give(t, object[i]), HEAP_OK);
    assert_int_equal(heap.spans.nempty, 1);
    unsigned char *p = take(t, 9);
    assert_true(p >= object[0] && p < object[0] + SLICE_BYTES);
    assert_int_equal(size_of(t, p), 9);
    assert_int_equal(heap.spans.nempty, 0);
    struct slot slot;
    assert_false(spans_find_slot(&heap.spans, region_offset(&heap.chunks.region, p), &slot));
    assert_int_equal(check_heap(&heap), HEAP_OK);
    heap_leave(&heap, t);
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

/* An empty large-slot span becomes one of another class if it is as long as a new one would be, and
 * none for slots that are not large. */
static void test_an_empty_wide_span_serves_another_class(void **state)
{
    (void)state;
    enum { SIZE = 12000, OTHER = 20000, SMALL = 1000, N = WIDE_SLICES * SLICE_BYTES / 12288 };
    unsigned char *object[N + 1];
    open_heap();
    struct thread self = {0}, other = {0}, *t = &self;
    heap_join(&heap, t);
    heap_join(&heap, &other); /* all spans of several threads have WIDE_SLICES slices */
    int n = 0;
    do
        object[n++] = take(t, SIZE);
    while (n < N + 1 && t->tcache->window[sizeclass_of(SIZE)]->slice == NO_SLICE);
    const uint32_t slice = t->tcache->window[sizeclass_of(SIZE)]->slice;
    assert_true(slice != NO_SLICE);
    heap_leave(&heap, t);
    for (int i = 0; i < n; i++)
        assert_int_equal(give(&uncached, object[i]), HEAP_OK);
    assert_int_equal(pagemap_span(&heap.spans, slice)->status, SPAN_EMPTY);
    heap_join(&heap, t);
    assert_non_null(take(t, SMALL));
    assert_int_equal(pagemap_span(&heap.spans, slice)->status, SPAN_EMPTY);
    unsigned char *p = take(t, OTHER);
    memset(p, 1, OTHER);
    const struct span *span = pagemap_span(&heap.spans, slice);
    assert_int_equal(span->slot_bytes, sizeclass_bytes(sizeclass_of(OTHER)));
    assert_int_equal(pagemap_slice(&heap.spans, (uintptr_t)p), slice);
    assert_int_equal(size_of(t, p), OTHER);
    assert_int_equal(give(t, p + 1), HEAP_INSIDE);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    heap_leave(&heap, &other);
    heap_leave(&heap, t);
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

/* WI4: a class that is looked for at every sixth look is hot if its thread is alone, and all 64
 * slots come into use. With other threads it stays cold; at every fourth look it is hot. */
static void test_several_threads_get_hot_later(void **state)
{
    (void)state;
    enum { SIZE = 1024 };
    for (uint32_t nothers = 0; nothers < 2; nothers++) {
        open_heap();
        struct thread self = {0}, other = {0}, *t = &self;
        heap_join(&heap, t);
        if (nothers > 0)
            heap_join(&heap, &other);
        assert_int_equal(give(t, take(t, SIZE)), HEAP_OK);
        struct class_window *w = t->tcache->window[sizeclass_of(SIZE)];
        for (uint32_t every = 6; every >= 4; every -= 2) {
            for (int i = 0; i < 2 * WINDOW_HOT; i++) {
                t->tcache->nlooks += every - 1; /* for other classes */
                w->at.mask = 0;
                assert_int_equal(give(t, take(t, SIZE)), HEAP_OK);
            }
            assert_int_equal(w->used == STATES_AT_ONCE, nothers == 0 || every == 4);
        }
        heap_leave(&heap, &other);
        heap_leave(&heap, t);
        assert_whole();
    }
}

/* When a program grows, the empty spans of classes that it no longer uses are given up first. */
static void test_idle_classes_give_their_spans_up(void **state)
{
    (void)state;
    enum { N = 100, CLASSES = 40, GROWN = 160 * OF_1K };
    static unsigned char *object[GROWN];
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    for (unsigned c = 0; c < CLASSES; c++) {
        for (int i = 0; i < N; i++)
            object[i] = take(t, sizeclass_bytes(c));
        for (int i = 0; i < N; i++)
            assert_int_equal(give(t, object[i]), HEAP_OK);
        assert_true(t->tcache->window[c]->slice != NO_SLICE);
    }
    for (int i = 0; i < GROWN; i++)
        object[i] = take(t, 1024);
    for (unsigned c = 0; c < CLASSES; c++)
        assert_int_equal(t->tcache->window[c]->slice != NO_SLICE, c == sizeclass_of(1024));
    assert_int_equal(check_heap(&heap), HEAP_OK);
    heap_leave(&heap, t);
    for (int i = 0; i < GROWN; i++)
        assert_int_equal(give(t, object[i]), HEAP_OK);
    assert_whole();
}

/* Of two classes without objects, the one that was looked for 64 looks ago keeps its span. */
static void test_a_class_in_use_keeps_its_span(void **state)
{
    (void)state;
    enum { LATELY = 64, LOOKS = 1000, USED = 200, IDLE = 400, NEXT = 600 };
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    assert_int_equal(give(t, take(t, USED)), HEAP_OK);
    assert_int_equal(give(t, take(t, IDLE)), HEAP_OK);
    struct class_window *used = t->tcache->window[sizeclass_of(USED)];
    struct class_window *idle = t->tcache->window[sizeclass_of(IDLE)];
    t->tcache->nlooks = LOOKS - 1;
    used->looked = LOOKS - LATELY;
    idle->looked = LOOKS - LATELY - 1;
    heap.spans.nmade = 1000; /* all spans are due to be counted */
    assert_int_equal(give(t, take(t, NEXT)), HEAP_OK);
    assert_int_equal(t->tcache->nlooks, LOOKS);
    assert_true(used->slice != NO_SLICE && idle->slice == NO_SLICE);
    heap_leave(&heap, t);
    assert_whole();
}

/* Slots that were never used come last, since they have no pages yet. */
static void test_new_memory_comes_last(void **state)
{
    (void)state;
    enum { SIZE = 64, N = 2 * STATES_AT_ONCE, NFREED = 20 };
    unsigned char *object[N], *last = region;
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    for (int i = 0; i < N; i++) {
        object[i] = take(t, SIZE);
        last = object[i] > last ? object[i] : last;
    }
    for (int i = 0; i < NFREED; i++)
        assert_int_equal(give(t, object[2 * i]), HEAP_OK);
    for (int i = 0; i < NFREED; i++)
        assert_true((unsigned char *)take(t, SIZE) < last);
    assert_true((unsigned char *)take(t, SIZE) > last);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    heap_leave(&heap, t);
}

/* What the owner frees of a wide span is known to its window at once, and the lowest slot is
 * taken first. Slots that other threads free in it, or any thread in a parked span, are found
 * when the window is empty. */
static void test_wide_slots_are_found_again(void **state)
{
    (void)state;
    enum { SIZE = 20000, N = 16 * SLICE_BYTES / 24576 };
    void *object[2 * N];
    open_heap();
    struct thread self = {0}, *t = &self, other = {0};
    heap_join(&heap, t);
    for (int i = 0; i < 2 * N; i++)
        object[i] = take(t, SIZE);
    struct class_window *w = t->tcache->window[sizeclass_of(SIZE)];
    assert_int_equal(w->nparked, 1);
    assert_true(object[N] < object[0] || object[N] >= object[N - 1]);
    heap_join(&heap, &other);
    assert_int_equal(give(&other, object[N]), HEAP_OK);
    assert_int_equal(give(t, object[0]), HEAP_OK); /* Its span is parked. */
    assert_int_equal(w->at.mask, 0);
    for (int i = N + 5; i >= N + 3; i--)
        assert_int_equal(give(t, object[i]), HEAP_OK);
    assert_int_equal(give(t, object[N + 4]), HEAP_FREE);
    assert_int_equal(w->at.mask, 7 << 3);
    for (int i = N + 3; i <= N + 5; i++)
        assert_ptr_equal(take(t, SIZE), object[i]);
    assert_ptr_equal(take(t, SIZE), object[N]);
    void *again = take(t, SIZE);
    for (int i = 1; i < 2 * N; i++)
        assert_ptr_not_equal(again, object[i]);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    heap_leave(&heap, &other);
    heap_leave(&heap, t);
}

/* A thread that gets no other span, since the heap is full, has a window without one. What it then
 * frees of its parked spans is not in that window [WI2]. */
static void test_a_window_without_a_span(void **state)
{
    (void)state;
    enum { SIZE = 20000 };
    static void *object[REGION / SIZE];
    size_t n = 0;
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    unsigned sizeclass = heap_sizeclass(&heap, SIZE, 1);
    while (tcache_take(t, SIZE, sizeclass, &object[n], NULL) || heap_refill(&heap, t, sizeclass))
        n += object[n] != NULL;
    struct class_window *w = t->tcache->window[sizeclass];
    assert_true(n > 0 && w->slice == NO_SLICE && w->nparked > 0);
    while (n > 0) {
        assert_int_equal(give(t, object[--n]), HEAP_OK);
        assert_int_equal(w->at.mask, 0);
    }
    heap_leave(&heap, t);
    assert_whole();
}

/* In a large-slot span a slot begins at each multiple of the slot size, and at no other address,
 * however near. What is freed there is taken again by way of each size of the class. */
static void test_where_wide_slots_begin(void **state)
{
    (void)state;
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    for (size_t nbytes = NARROW_BYTES_MAX + 1; nbytes <= SLOT_BYTES_MAX; nbytes += WIDE_STEP) {
        unsigned char *object[WIDE_SLOTS];
        for (int i = 0; i < WIDE_SLOTS; i++) {
            object[i] = take(t, nbytes);
            for (size_t offset = 0; offset < nbytes; offset += offset < 64 ? 1 : 32) {
                struct slot_ref at = {0};
                bool found = tcache_find_any(t->tcache, object[i] + offset, &at);
                assert_int_equal(found, offset == 0);
            }
        }
        for (int i = 0; i < WIDE_SLOTS; i++)
            assert_int_equal(give(t, object[i]), HEAP_OK);
        void *again = NULL; /* of the sizes up to this one, both ways lead to one window */
        assert_true(tcache_take_wide(t, nbytes + WIDE_STEP - 1, &again));
        assert_int_equal(give(t, again), HEAP_OK);
    }
    heap_leave(&heap, t);
    assert_whole();
}

/* A slot that was used before has its pages; so it comes before one that was not, even if it is in
 * a parked span. */
static void test_used_wide_slots_come_first(void **state)
{
    (void)state;
    enum { SIZE = 20000, N = 16 * SLICE_BYTES / 24576 };
    void *object[2 * N];
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    struct class_window *const *w = &t->tcache->window[sizeclass_of(SIZE)];
    int n = 0;
    do
        object[n++] = take(t, SIZE);
    while (n < 2 * N && ((*w)->nparked == 0 || (*w)->at.mask != 0));
    assert_true(n > N && n < 2 * N);
    assert_int_equal(give(t, object[3]), HEAP_OK);
    assert_ptr_equal(take(t, SIZE), object[3]);
    /* Now the first span has the window, and the other one has all unused slots. */
    object[n] = take(t, SIZE);
    assert_true(object[n] > object[n - 1]);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    heap_leave(&heap, t);
}

/* The entry of a slice may say how far back its span began when it was in a larger one. What lies
 * behind the last slot of the span that begins there now is no slot of it. */
static void test_a_span_of_fewer_slices(void **state)
{
    (void)state;
    enum { SIZE = 20000, BYTES = 24576 };
    open_heap();
    struct thread self = {0}, *t = &self, other = {0};
    heap_join(&heap, t);
    heap_join(&heap, &other); /* several threads have short spans */
    unsigned char *first = take(t, SIZE), *behind = first + WIDE_SLICES * SLICE_BYTES;
    while ((behind - first) % BYTES != 0)
        behind += 2048;
    uint32_t slice = pagemap_slice(&heap.spans, (uintptr_t)behind);
    struct span *entry = pagemap_span(&heap.spans, slice), was = *entry;
    struct slot_ref at = {0};
    entry->back = slice - pagemap_slice(&heap.spans, (uintptr_t)first);
    assert_true(tcache_find_any(t->tcache, first, &at));
    unsigned char *state_behind = at.span->states + (behind - first) / BYTES, kept = *state_behind;
    *state_behind = 1; /* whatever lies behind the states */
    assert_false(tcache_find_any(t->tcache, behind, &at));
    *state_behind = kept;
    *entry = was;
    assert_int_equal(give(t, first), HEAP_OK);
    heap_leave(&heap, &other);
    heap_leave(&heap, t);
    assert_whole();
}

/* Frees the n objects at the start of a span and returns after how many of them no thread owns
 * the span any longer. */
static int frees_until_claimed(struct thread *t, uint32_t slice, void **object, int n)
{
    const struct span *span = pagemap_span(&heap.spans, slice);
    int i = 0;
    assert_int_equal(span->status, SPAN_OWNED);
    while (i < n && span->status == SPAN_OWNED)
        assert_int_equal(give(t, object[i++]), HEAP_OK);
    return i;
}

/* WI5: spans that a thread parks may be claimed when 3/8 of their slots were freed. If it has
 * missed two of them, or is the only thread, those that it parks from then on stay its own until
 * 7/8 were freed. */
static void test_a_window_that_misses_spans_is_patient(void **state)
{
    (void)state;
    enum { SIZE = 1024, EARLY = OF_1K / 2 - OF_1K / 8, LATE = OF_1K - OF_1K / 8 };
    unsigned char *object[NUSED];
    uint32_t slice[NUSED / OF_1K];
    for (int nthreads = 1; nthreads <= 2; nthreads++) {
        open_heap();
        struct thread self = {0}, other = {0}, *t = &self;
        heap_join(&heap, t);
        if (nthreads == 2)
            heap_join(&heap, &other);
        use_up(t, object);
        for (int i = 0; i < NUSED / OF_1K; i++)
            slice[i] = pagemap_slice(&heap.spans, (uintptr_t)object[i * OF_1K]);
        const int first = nthreads == 1 ? LATE : EARLY;
        for (int i = 0; i < 2; i++)
            assert_int_equal(frees_until_claimed(t, slice[i], (void **)object + i * OF_1K, OF_1K),
                             first);
        /* It misses both; the third, which is parked, is full; and the last one is parked now. */
        unsigned char *again = take(t, SIZE);
        assert_true(again >= object[0] && again < object[0] + SLICE_BYTES);
        assert_int_equal(give(t, again), HEAP_OK);
        assert_int_equal(frees_until_claimed(t, slice[2], (void **)object + 2 * OF_1K, OF_1K),
                         first);
        assert_int_equal(frees_until_claimed(t, slice[3], (void **)object + 3 * OF_1K, OF_1K),
                         LATE);
        assert_int_equal(check_heap(&heap), HEAP_OK);
        heap_leave(&heap, &other);
        heap_leave(&heap, t);
    }
}

/* A large-slot span that is cut from memory which an object has used has its pages, if the process
 * has one thread. With several threads these go back, except for those of the first slots. */
static void test_a_wide_span_in_used_memory(void **state)
{
    (void)state;
    enum { SIZE = 16000, USED = 1 << 20, LIVE = 4 << 20 };
    static struct clean clean;
    for (int several = 0; several <= 1; several++) {
        void *live, *used;
        assert_true(os_give_back(region, REGION)); /* it reads as zero */
        heap = (struct heap){.chunks.clean = &clean};
        open_heap();
        struct thread self = {0}, other = {0};
        heap_join(&heap, &self);
        if (several)
            heap_join(&heap, &other);
        assert_int_equal(heap_take(&heap, LIVE, FIT_ANY, &live), HEAP_OK);
        assert_int_equal(heap_take(&heap, USED, FIT_ANY, &used), HEAP_OK);
        memset(used, 1, USED);
        assert_int_equal(heap_free(&heap, used), HEAP_OK);
        const unsigned char *object = take(&self, SIZE);
        uint32_t slice = pagemap_slice(&heap.spans, (uintptr_t)object);
        slice -= pagemap_span(&heap.spans, slice)->back;
        const struct span *span = pagemap_span(&heap.spans, slice);
        unsigned char *first = (unsigned char *)pagemap_address(&heap.spans, slice);
        size_t nbytes = span_nslices(span) * SLICE_BYTES;
        assert_true(is_wide(span->slot_bytes));
        assert_true(first >= (unsigned char *)used &&
                    first + nbytes <= (unsigned char *)used + USED);
        assert_int_equal(os_resident_bytes(first, nbytes), several ? nbytes / 8 : nbytes);
        for (uint32_t i = span->nslots / 8; i < span->nslots; i++)
            assert_int_equal(far_is_clean(far_slack(span->states, span->nslots, i)), several);
        assert_ptr_equal(object, first);
        assert_int_equal(first[nbytes / 8], several ? 0 : 1);
        assert_int_equal(check_heap(&heap), HEAP_OK);
        heap_leave(&heap, &self);
        if (several)
            heap_leave(&heap, &other);
    }
    heap = (struct heap){0};
}

/* A parked wide span can be claimed when 7/8 of it was freed if the process has one thread, since
 * no other thread could use it; else when 3/8 were freed. Until then its owner finds it,
 * whichever of the parked spans it is. */
static void test_a_parked_wide_span(void **state)
{
    (void)state;
    enum { SIZE = 20000, MOST = 16 * SLICE_BYTES / 24576 };
    void *object[4 * MOST];
    for (int nthreads = 1; nthreads <= 2; nthreads++) {
        /* Several threads have shorter spans. */
        const int n_all = nthreads == 1 ? MOST : WIDE_SLICES * SLICE_BYTES / 24576;
        open_heap();
        struct thread self = {0}, *t = &self, other = {0};
        heap_join(&heap, t);
        if (nthreads == 2)
            heap_join(&heap, &other);
        for (int i = 0; i < 4 * n_all; i++)
            object[i] = take(t, SIZE);
        struct class_window *w = t->tcache->window[sizeclass_of(SIZE)];
        assert_int_equal(w->nparked, 3);
        uint32_t first = w->parked[w->oldest % NPARKED];
        uint32_t second = w->parked[(w->oldest + 1) % NPARKED];
        /* Only the newest span has free slots, the oldest has none. */
        for (int i = 0; i < 5; i++) {
            assert_int_equal(give(t, object[2 * n_all + i]), HEAP_OK);
        }
        for (int i = 0; i < 5; i++)
            assert_ptr_equal(take(t, SIZE), object[2 * n_all + i]);
        int n = frees_until_claimed(t, first, object, n_all);
        assert_int_equal(n, nthreads == 1 ? n_all - n_all / 8 : n_all / 2 - n_all / 8);
        n = frees_until_claimed(t, second, object + n_all, n_all);
        assert_int_equal(n, nthreads == 1 ? n_all - n_all / 8 : n_all / 2 - n_all / 8);
        assert_int_equal(check_heap(&heap), HEAP_OK);
        heap_leave(&heap, &other);
        heap_leave(&heap, t);
    }
}

/* A wide span may be parked when few of its slots were ever used, all of which are objects: it is
 * claimed when these are free, with one thread or with two. */
static void test_a_parked_wide_span_with_few_objects(void **state)
{
    (void)state;
    enum { SIZE = 20000, MOST = 16 * SLICE_BYTES / 24576 };
    void *object[2 * MOST];
    for (int nthreads = 1; nthreads <= 2; nthreads++) {
        const int n_all = nthreads == 1 ? MOST : WIDE_SLICES * SLICE_BYTES / 24576;
        open_heap();
        struct thread self = {0}, *t = &self, other = {0};
        heap_join(&heap, t);
        if (nthreads == 2)
            heap_join(&heap, &other);
        struct class_window *const *w = &t->tcache->window[sizeclass_of(SIZE)];
        int n = 0;
        do
            object[n++] = take(t, SIZE);
        while (n < 2 * n_all && ((*w)->nparked == 0 || (*w)->at.mask != 0));
        assert_true(n > n_all && n <= n_all + n_all / 8 + 1);
        uint32_t slice = (*w)->slice;
        assert_int_equal(give(t, object[0]), HEAP_OK);
        assert_ptr_equal(take(t, SIZE), object[0]); /* The new span is parked now. */
        assert_true((*w)->slice != slice);
        frees_until_claimed(t, slice, object + n_all, n - n_all);
        assert_int_not_equal(pagemap_span(&heap.spans, slice)->status, SPAN_OWNED);
        assert_int_equal(check_heap(&heap), HEAP_OK);
        heap_leave(&heap, &other);
        heap_leave(&heap, t);
    }
}

/* Every free slot is found before the heap reports that it has no space: even the few free ones
 * in spans that no thread would adopt for them. */
static void test_the_last_slot_is_found(void **state)
{
    (void)state;
    static unsigned char *object[REGION / 512];
    size_t n = 0;
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    while ((object[n] = take(t, 512)) != NULL)
        n++;
    assert_true(n > REGION / 512 * 9 / 10);
    assert_null(take(t, 400));
    for (size_t i = 50; i < n; i += 1000) {
        assert_int_equal(give(t, object[i]), HEAP_OK);
        assert_ptr_equal(take(t, i % 2 ? 500 : 512), object[i]);
        assert_null(take(t, 512));
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(give(t, object[i]), HEAP_OK);
    assert_whole(); /* The cache still exists. */
    heap_leave(&heap, t);
    assert_whole();
}

/* Two threads share a wide span until one of them wants more; a thread that is alone gets its own
 * span at once. The lowest slot is taken first. */
static void test_a_few_wide_slots_are_shared(void **state)
{
    enum { SIZE = 20000, MANY = 9 };
    unsigned sizeclass = sizeclass_of(SIZE);
    (void)state;
    open_heap();
    struct thread one = {0}, two = {0};
    heap_join(&heap, &one);
    void *first = take(&one, SIZE), *object[MANY];
    assert_int_not_equal(one.tcache->window[sizeclass]->slice, 0);
    assert_int_equal(give(&one, first), HEAP_OK);
    sizeclass = sizeclass_of(2 * SIZE);
    heap_join(&heap, &two);
    first = take(&one, 2 * SIZE);
    uint32_t nheld = heap.spans.nheld;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(two.tcache->window[sizeclass]->slice, 0);
        object[0] = take(&two, 2 * SIZE);
        assert_int_equal(heap.spans.nheld, nheld);
        assert_ptr_equal(object[0], (char *)first + sizeclass_bytes(sizeclass));
        if (i + 1 < MANY)
            assert_int_equal(give(&two, object[0]), HEAP_OK);
    }
    assert_int_not_equal(two.tcache->window[sizeclass]->slice, 0);
    heap_leave(&heap, &one);
    heap_leave(&heap, &two);
    assert_int_equal(give(&uncached, first), HEAP_OK);
    assert_int_equal(give(&uncached, object[0]), HEAP_OK);
    assert_whole();
}

/* A request that could never fit is no reason to revoke the threads' caches. */
static void test_too_much_revokes_nothing(void **state)
{
    (void)state;
    void *object;
    open_heap();
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    assert_int_equal(give(t, take(t, 100)), HEAP_OK);
    assert_int_equal(heap_take(&heap, REGION + 1, FIT_ANY, &object), HEAP_NO_SPACE);
    assert_int_equal(heap_take(&heap, SIZE_MAX / 2, FIT_ANY, &object), HEAP_NO_SPACE);
    assert_non_null(thread_tcache(t));
    assert_int_equal(heap_take(&heap, REGION - 48, FIT_ANY, &object), HEAP_OK);
    assert_null(thread_tcache(t));
}

/* Returns true if a request that is refused looks at all spans again. */
static bool is_swept_again(void)
{
    enum { MARK = 7 };
    void *object;
    heap.spans.nmade = MARK; /* nmade is 0 after all spans were looked at. */
    assert_int_equal(heap_take(&heap, REGION - 48, FIT_ANY, &object), HEAP_NO_SPACE);
    return heap.spans.nmade != MARK;
}

static void test_a_full_heap_is_swept_once(void **state)
{
    (void)state;
    open_heap();
    struct thread self = {0}, *t = &self;
    void *object[3], *chunk = take(&uncached, SIZE_MAX_TAKEN);
    for (int i = 0; i < 3; i++)
        object[i] = take(&uncached, 100);
    assert_true(is_swept_again());
    assert_false(is_swept_again());
    assert_int_equal(give(&uncached, object[0]), HEAP_OK);
    assert_true(is_swept_again());
    assert_int_equal(give(&uncached, chunk), HEAP_OK);
    object[0] = take(&uncached, 100);
    assert_false(is_swept_again());
    heap_join(&heap, t);
    assert_int_equal(give(t, object[0]), HEAP_OK);
    assert_true(is_swept_again()); /* The thread cache was closed, too. */
    assert_false(is_swept_again());
    assert_int_equal(give(&uncached, object[1]), HEAP_OK);
    assert_int_equal(give(&uncached, object[2]), HEAP_OK);
    assert_whole();
}

/* In a child process the other threads of the parent are gone, one of them in the middle of a
 * call. */
static void test_caches_of_threads_that_are_gone(void **state)
{
    (void)state;
    open_heap();
    struct thread mine = {0}, gone = {0}, too = {0};
    heap_join(&heap, &gone);
    heap_join(&heap, &mine);
    heap_join(&heap, &too);
    void *object = take(&gone, 100), *kept = take(&mine, 100);
    assert_non_null(take(&too, 3000));
    gone.busy = true;
    heap_lock(&heap);
    heap_forked_locked(&heap, &mine);
    heap_unlock(&heap);
    assert_ptr_equal(heap.spans.threads.first, &mine.tcache->member);
    assert_null(mine.tcache->member.next);
    assert_int_equal(give(&mine, object), HEAP_OK);
    assert_int_equal(size_of(&mine, kept), 100);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    heap_lock(&heap);
    heap_forked_locked(&heap, &uncached);
    heap_unlock(&heap);
    assert_null(heap.spans.threads.first);
    assert_int_equal(give(&uncached, kept), HEAP_OK);
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

/* --- many ----------------------------------------------------------------------------- */

enum { NTHREADS = 4, NSHARED = 512 };
#ifndef NROUNDS
#define NROUNDS 60000
#endif

static _Atomic(unsigned char *) shared[NSHARED];
static unsigned nwrong, nrefused, nfull;

static void *do_nothing(void *nothing)
{
    return nothing;
}

/* A span that others may take slots of is counted again after as many frees as it has objects; or
 * after half of them, if there may be threads, whose frees at the same time may count as one. */
static void test_when_a_span_is_counted_again(void **state)
{
    (void)state;
    enum { N = 100 };
    pthread_t thread;
    bool was_alone = thread_is_the_only();
    for (int alone = was_alone; alone >= 0; alone--) {
        open_heap();
        unsigned char *object = NULL;
        for (int i = 0; i < N; i++)
            object = take(&uncached, 100);
        if (!alone) {
            assert_int_equal(pthread_create(&thread, NULL, do_nothing, NULL), 0);
            pthread_join(thread, NULL);
        }
        const struct span *span =
            pagemap_span(&heap.spans, pagemap_slice(&heap.spans, (uintptr_t)object));
        heap_lock(&heap);
        spans_sweep(&heap.spans);
        heap_unlock(&heap);
        assert_int_equal(span->status, SPAN_PARTIAL);
        uint32_t nobjects = span->nslots - span_nfree(span);
        assert_in_range(nobjects, N / 2, N);
        assert_int_equal(span_countdown(span), alone ? nobjects : nobjects / 2);
    }
}

static void note(unsigned *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* The mark depends on the size, so the heap must report the right size. */
static unsigned char mark_of(size_t nbytes)
{
    return (unsigned char)(nbytes % 255 + 1);
}

static void put(struct thread *t, unsigned char *p)
{
    if (p == NULL)
        return;
    size_t nbytes = size_of(t, p);
    bool right = nbytes <= SIZE_MAX_TAKEN;
    for (size_t i = 0; right && i < nbytes; i += 1 + nbytes / 16)
        right = p[i] == mark_of(nbytes);
    if (!right || give(t, p) != HEAP_OK)
        note(&nwrong);
}

static void one_round(struct thread *t, uint64_t *dice)
{
    size_t nbytes = rnd(dice, rnd(dice, 8) > 0 ? 300 : rnd(dice, 8) > 0 ? 9000 : SIZE_MAX_TAKEN);
    unsigned char *p = take(t, nbytes);
    if (p == NULL)
        note(&nfull);
    else
        memset(p, mark_of(nbytes), nbytes);
    p = atomic_exchange(&shared[rnd(dice, NSHARED)], p);
    put(t, p);
    /* An address that is never right: inside an object or free memory. */
    if (rnd(dice, 4) == 0 && give(t, region + rnd(dice, REGION - 1) / 16 * 16 + 8) != HEAP_OK)
        note(&nrefused);
}

static void *work(void *number)
{
    uint64_t dice = (uintptr_t)number + 1;
    for (int life = 0; life < 10; life++) {
        struct thread self = {0}, *t = &self;
        for (int i = 0; i < NROUNDS / 10; i++) {
            if (thread_tcache(t) == NULL && (number != NULL || life % 2))
                heap_join(&heap, t); /* The cache was revoked. */
            one_round(t, &dice);
        }
        heap_leave(&heap, t);
    }
    return NULL;
}

/* Asks for sizes that cannot be served, so that all windows are revoked. */
static void *exhaust(void *nothing)
{
    uint64_t dice = 99;
    for (int i = 0; i < NROUNDS / 200; i++) {
        void *large = NULL;
        (void)heap_take(&heap, REGION / 4 + rnd(&dice, REGION / 2), FIT_ANY, &large);
        if (large != NULL && heap_free(&heap, large) != HEAP_OK)
            note(&nwrong);
        if (check_heap(&heap) != HEAP_OK)
            note(&nwrong);
        (void)tally_heap(&heap);
    }
    return nothing;
}

static void test_many_threads(void **state)
{
    (void)state;
    pthread_t thread[NTHREADS + 1];
    open_heap();
    for (uintptr_t i = 0; i < NTHREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)i), 0);
    assert_int_equal(pthread_create(&thread[NTHREADS], NULL, exhaust, NULL), 0);
    for (int i = 0; i <= NTHREADS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < NSHARED; i++)
        put(&uncached, atomic_exchange(&shared[i], NULL));
    assert_int_equal(nwrong, 0);
    assert_true(nrefused > 1000);
    assert_whole();
}

/* One thread frees an object while another resizes it. The second of them is refused; in no case
 * does the object exist afterwards. */
static unsigned char *_Atomic contested;
static _Atomic int nready;

static void meet(int turn)
{
    nready++;
    while (nready < 2 * turn)
        ;
}

static void *resize_it(void *nothing)
{
    struct thread self = {0}, *t = &self;
    size_t old;
    heap_join(&heap, t);
    for (int i = 1; i <= NROUNDS / 8; i++) {
        meet(2 * i - 1);
        if (i % 2 == 0)
            (void)tcache_resize(t, contested, 90, &old);
        else
            (void)tcache_resize_near(t, contested, 90);
        meet(2 * i);
    }
    heap_leave(&heap, t);
    return nothing;
}

static void test_resize_races_with_free(void **state)
{
    (void)state;
    pthread_t thread;
    struct thread self = {0}, *t = &self;
    open_heap();
    heap_join(&heap, t);
    nready = 0;
    contested = take(t, 100);
    assert_int_equal(pthread_create(&thread, NULL, resize_it, NULL), 0);
    for (int i = 1; i <= NROUNDS / 8; i++) {
        meet(2 * i - 1);
        if (give(t, contested) != HEAP_OK)
            note(&nwrong);
        meet(2 * i);
        nwrong += size_of(t, contested) != SIZE_MAX;
        contested = take(t, 100);
    }
    pthread_join(thread, NULL);
    assert_int_equal(give(t, contested), HEAP_OK);
    heap_leave(&heap, t);
    assert_int_equal(nwrong, 0);
    assert_whole();
}

/* Threads that sleep, each with a cache and with spans that other threads have emptied. */
static pthread_barrier_t barrier;
static unsigned char *theirs[NTHREADS][2000];

static void *sleep_on_spans(void *number)
{
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    unsigned char **mine = theirs[(uintptr_t)number];
    for (size_t i = 0; i < 2000; i++)
        mine[i] = take(t, 20 + i % 900);
    pthread_barrier_wait(&barrier);
    /* Meanwhile all objects are freed, and one object takes the whole region. */
    pthread_barrier_wait(&barrier);
    unsigned char *again = take(t, 100);
    if (again == NULL || give(t, again) != HEAP_OK)
        note(&nwrong);
    heap_leave(&heap, t);
    return NULL;
}

static void test_what_sleeping_threads_hold(void **state)
{
    (void)state;
    pthread_t thread[NTHREADS];
    open_heap();
    pthread_barrier_init(&barrier, NULL, NTHREADS + 1);
    for (uintptr_t i = 0; i < NTHREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, sleep_on_spans, (void *)i), 0);
    pthread_barrier_wait(&barrier);
    struct thread self = {0}, *t = &self;
    heap_join(&heap, t);
    for (int i = 0; i < NTHREADS; i++)
        for (int j = 0; j < 2000; j++)
            assert_int_equal(give(j % 2 ? t : &uncached, theirs[i][j]), HEAP_OK);
    assert_whole();
    heap_leave(&heap, t);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < NTHREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(nwrong, 0);
    assert_whole();
}

/* Takes objects of 1 KiB until the thread has parked a span and has another one in its window. */
static struct class_window *open_two_spans(struct thread *t, unsigned char **object)
{
    for (int i = 0; i < OF_1K + 1; i++)
        assert_non_null(object[i] = take(t, 1024));
    struct class_window *w = t->tcache->window[sizeclass_of(1024)];
    assert_true(w->slice != NO_SLICE && w->nparked == 1);
    return w;
}

/* A signal handler that forks may have interrupted a thread's look at spans: then no span is taken
 * for lost in the child, and no cache is taken away. */
static void test_a_fork_in_the_middle_of_a_look(void **state)
{
    (void)state;
    unsigned char *object[OF_1K + 1];
    open_heap();
    struct thread mine = {0}, other = {0};
    heap_join(&heap, &mine);
    heap_join(&heap, &other);
    struct class_window *w = open_two_spans(&other, object);
    struct span *span = pagemap_span(&heap.spans, w->slice);
    w->slice = NO_SLICE; /* window_park: the window has let go of it */
    mine.busy = 1;
    heap_lock(&heap);
    heap_forked_locked(&heap, &mine);
    assert_int_equal(span->status, SPAN_OWNED);
    assert_false(heap_close_tcaches_locked(&heap));
    assert_non_null(mine.tcache);
    mine.busy = 0;
    assert_true(heap_close_tcaches_locked(&heap));
    heap_unlock(&heap);
    assert_null(mine.tcache);
}

/* In the child of a thread that has no cache, or no window for slots of that size, all spans of
 * others are released, also one that is in no window. */
static void test_a_fork_without_a_window(void **state)
{
    (void)state;
    for (int has_cache = 0; has_cache < 2; has_cache++) {
        unsigned char *object[OF_1K + 1];
        open_heap();
        struct thread mine = {0}, other = {0};
        heap_join(&heap, &other);
        if (has_cache)
            heap_join(&heap, &mine);
        struct class_window *w = open_two_spans(&other, object);
        w->slice = NO_SLICE; /* window_park: the window has let go of it */
        heap_lock(&heap);
        heap_forked_locked(&heap, &mine);
        heap_unlock(&heap);
        assert_int_equal(check_heap(&heap), HEAP_OK);
        for (int i = 0; i < OF_1K + 1; i++)
            assert_int_equal(give(&mine, object[i]), HEAP_OK);
        heap_leave(&heap, &mine);
        assert_whole();
    }
}

/* When the lock is taken, the last span may have gone already. */
static void test_a_refile_after_the_last_span(void **state)
{
    (void)state;
    open_heap();
    assert_int_equal(heap.spans.nheld, 0);
    heap_refile(&heap, region + REGION / 2);
    assert_whole();
}

/* A fork copies the window of another thread between any two of its stores. In the child each span
 * is found all the same, once. */
static void test_a_fork_between_two_stores(void **state)
{
    (void)state;
    enum { NO_CHANGE, BEFORE_PARK, PARKED_BY_NONE, BEFORE_OPEN, NCUTS };
    for (int cut = NO_CHANGE; cut < NCUTS; cut++) {
        unsigned char *object[OF_1K + 1], *own[OF_1K + 1];
        open_heap();
        struct thread mine = {0}, other = {0};
        heap_join(&heap, &mine);
        heap_join(&heap, &other);
        open_two_spans(&mine, own);
        struct class_window *w = open_two_spans(&other, object);
        struct span *parked = pagemap_span(&heap.spans, w->parked[w->oldest]);
        if (cut == BEFORE_PARK) { /* window_park: the window has let go, the ring has not got it */
            w->slice = NO_SLICE;
        } else if (cut == PARKED_BY_NONE) { /* window_park: in the ring, and not parked yet */
            parked->parked_by = NULL;
        } else if (cut == BEFORE_OPEN) { /* window_change: unparked, and in no window yet */
            assert_true(span_unpark(parked, w));
            w->nparked = 0;
        }
        heap_lock(&heap);
        heap_forked_locked(&heap, &mine);
        heap_unlock(&heap);
        assert_int_equal(check_heap(&heap), HEAP_OK);
        for (int i = 0; i < OF_1K + 1; i++) {
            assert_int_equal(give(&mine, object[i]), HEAP_OK);
            assert_int_equal(give(&mine, own[i]), HEAP_OK);
        }
        heap_leave(&heap, &mine);
        assert_whole();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_a_span_in_use_for_ever),
        cmocka_unit_test(test_every_alignment),
        cmocka_unit_test(test_what_lies_behind_the_last_slot),
        cmocka_unit_test(test_resize_in_the_slot),
        cmocka_unit_test(test_pairs_stay_where_they_are),
        cmocka_unit_test(test_few_slots_at_a_time),
        cmocka_unit_test(test_a_look_nearby),
        cmocka_unit_test(test_a_parked_span_is_unparked),
        cmocka_unit_test(test_a_countdown_that_a_free_has_undone),
        cmocka_unit_test(test_a_parked_span_is_claimed),
        cmocka_unit_test(test_a_partial_span_keeps_its_place),
        cmocka_unit_test(test_an_empty_span_serves_another_class),
        cmocka_unit_test(test_how_many_large_slot_spans_stay),
        cmocka_unit_test(test_no_room_to_recut),
        cmocka_unit_test(test_an_empty_wide_span_serves_another_class),
        cmocka_unit_test(test_several_threads_get_hot_later),
        cmocka_unit_test(test_idle_classes_give_their_spans_up),
        cmocka_unit_test(test_a_class_in_use_keeps_its_span),
        cmocka_unit_test(test_new_memory_comes_last),
        cmocka_unit_test(test_wide_slots_are_found_again),
        cmocka_unit_test(test_a_window_without_a_span),
        cmocka_unit_test(test_where_wide_slots_begin),
        cmocka_unit_test(test_a_window_that_misses_spans_is_patient),
        cmocka_unit_test(test_a_wide_span_in_used_memory),
        cmocka_unit_test(test_a_parked_wide_span),
        cmocka_unit_test(test_a_parked_wide_span_with_few_objects),
        cmocka_unit_test(test_the_last_slot_is_found),
        cmocka_unit_test(test_used_wide_slots_come_first),
        cmocka_unit_test(test_a_span_of_fewer_slices),
        cmocka_unit_test(test_a_few_wide_slots_are_shared),
        cmocka_unit_test(test_too_much_revokes_nothing),
        cmocka_unit_test(test_a_full_heap_is_swept_once),
        cmocka_unit_test(test_caches_of_threads_that_are_gone),
        cmocka_unit_test(test_a_fork_in_the_middle_of_a_look),
        cmocka_unit_test(test_a_fork_without_a_window),
        cmocka_unit_test(test_a_refile_after_the_last_span),
        cmocka_unit_test(test_a_fork_between_two_stores),
        cmocka_unit_test(test_when_a_span_is_counted_again),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_resize_races_with_free),
        cmocka_unit_test(test_what_sleeping_threads_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

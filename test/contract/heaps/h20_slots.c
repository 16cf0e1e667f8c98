/* SPDX-License-Identifier: MIT
 *
 * h20_slots.c - H20: checks separate heaps with slots, of every size for which slots make a
 * difference.
 *
 * Random calls are compared with the test's own list, and after them all memory must be one piece
 * again [C5].
 */
#include <stdlib.h>
#include <string.h>

#include "heaps/header.h"
#include "unit.h"

enum { LARGEST = 2 << 20, NOBJECTS = 4000 };

static _Alignas(1 << 16) unsigned char memory[LARGEST];
static mem_heap *heap;
static struct known {
    unsigned char *start;
    size_t size;
} known[NOBJECTS];
static size_t nlive, live_bytes, peak_bytes;
static uint64_t dice;

static unsigned char mark_of(const struct known *k)
{
    return (unsigned char)((uintptr_t)k->start / 16 ^ k->size);
}

static void take(struct known *k, size_t size)
{
    unsigned way = rnd(&dice, 16);
    k->size = size;
    k->start = way == 0   ? mem_alloc_fit(heap, size, 1, MEM_FIRST_FIT)
               : way == 1 ? mem_aligned(heap, size, 64)
               : way == 2 ? mem_zalloc(heap, size)
                          : mem_alloc(heap, size);
    if (k->start == NULL) {
        assert_int_equal(mem_last_error(), MEM_NO_SPACE);
        return;
    }
    assert_int_equal((uintptr_t)k->start % (way == 1 ? 64 : 16), 0);
    for (size_t i = 0; way == 2 && i < size; i++)
        assert_int_equal(k->start[i], 0);
    memset(k->start, mark_of(k), size);
    nlive++;
    live_bytes += size;
    peak_bytes = live_bytes > peak_bytes ? live_bytes : peak_bytes;
}

static void check_known(const struct known *k)
{
    struct mem_piece piece;
    for (size_t i = 0; i < k->size; i++)
        assert_int_equal(k->start[i], mark_of(k));
    size_t into = k->size == 0 ? 0 : rnd(&dice, (uint32_t)k->size);
    assert_int_equal(mem_find(k->start + into, &piece), MEM_OK);
    assert_true(piece.live && piece.start == k->start && piece.size == k->size &&
                piece.heap == heap);
}

static void free_it(struct known *k)
{
    unsigned char *p = k->start;
    check_known(k);
    if (k->size > 1) {
        assert_int_equal(mem_free(heap, p + 1), MEM_INSIDE);
        assert_int_equal(mem_free(heap, p + k->size - 1), MEM_INSIDE);
    }
    if (rnd(&dice, 4) == 0)
        assert_int_equal(mem_free_any(heap, p + (k->size > 0 ? k->size - 1 : 0)), MEM_OK);
    else
        assert_int_equal(mem_free(heap, p), MEM_OK);
    enum mem_result again = mem_free(heap, p);
    assert_true(again == MEM_FREE || again == MEM_NO_OBJECT || again == MEM_INSIDE);
    nlive--;
    live_bytes -= k->size;
    k->start = NULL;
}

static void resize(struct known *k, size_t size)
{
    check_known(k);
    unsigned char mark = mark_of(k), *p = mem_resize(heap, k->start, size);
    if (p == NULL)
        return;
    for (size_t i = 0; i < size && i < k->size; i++)
        assert_int_equal(p[i], mark);
    live_bytes += size - k->size;
    *k = (struct known){p, size};
    memset(p, mark_of(k), size);
    peak_bytes = live_bytes > peak_bytes ? live_bytes : peak_bytes;
}

static void check_all(void)
{
    const char *wrong;
    if (mem_check(heap, &wrong) != MEM_OK)
        fail_msg("%s", wrong);
}

static void check_numbers(bool *whole)
{
    struct mem_statistics s;
    assert_int_equal(mem_stats(heap, &s), MEM_OK);
    assert_int_equal(s.live_objects, nlive);
    assert_int_equal(s.live_bytes, live_bytes);
    assert_true(s.peak_bytes >= peak_bytes);
    assert_int_equal(s.region_bytes,
                     s.live_bytes + s.slack_bytes + s.free_bytes + s.metadata_bytes);
    *whole = s.free_chunks == 1 && s.largest_free == s.free_bytes;
}

/* A lookup must give what the walk shows, even for the bytes behind the last slot of a span. */
static bool is_found(const struct mem_piece *piece, void *context)
{
    struct mem_piece found = {0};
    (void)context;
    assert_int_equal(mem_find(piece->start, &found), MEM_OK);
    assert_ptr_equal(found.start, piece->start);
    assert_int_equal(found.size, piece->size);
    assert_int_equal(found.live, piece->live);
    return true;
}

static void play(size_t size_max, int ncalls)
{
    bool whole;
    for (int i = 0; i < ncalls; i++) {
        struct known *k = &known[rnd(&dice, NOBJECTS)];
        size_t size = rnd(&dice, 50) == 0 ? rnd(&dice, 9000) : rnd(&dice, (uint32_t)size_max);
        if (k->start == NULL)
            take(k, size);
        else if (rnd(&dice, 8) == 0)
            resize(k, size);
        else
            free_it(k);
        if (i % 500 == 0)
            check_all();
        if (i % 250 == 0)
            assert_int_equal(mem_walk(heap, is_found, NULL), MEM_OK);
        if (i % 3000 == 0)
            check_numbers(&whole);
    }
    for (int i = 0; i < NOBJECTS; i++)
        if (known[i].start != NULL)
            free_it(&known[i]);
}

static const unsigned flags[] = {MEM_SLOTS, MEM_SLOTS | MEM_SINGLE_THREADED,
                                 MEM_SLOTS | MEM_SINGLE_THREADED | MEM_FILL_FREED};

static void test_random(void **state)
{
    (void)state;
    for (size_t nbytes = 1 << 14; nbytes <= LARGEST; nbytes += nbytes / 2)
        for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
            bool whole;
            heap = mem_heap_in(memory, nbytes, &(struct mem_options){.flags = flags[i]});
            assert_non_null(heap);
            dice = nbytes + i;
            for (size_t size_max = 16; size_max <= 4096; size_max *= 4) {
                play(size_max, share_of(4000));
                check_all();
                check_numbers(&whole);
                assert_true(whole);
            }
            assert_int_equal(mem_heap_destroy(heap), MEM_OK);
            peak_bytes = 0;
        }
}

/* A heap is filled to the last slot of each size, and is used at another address. */
static void test_full_and_moved(void **state)
{
    (void)state;
    enum { NBYTES = 1 << 16 };
    static _Alignas(1 << 16) unsigned char elsewhere[NBYTES];
    const struct mem_options o = {.flags = MEM_SLOTS | MEM_SINGLE_THREADED};
    for (size_t size = 1; size < 1000; size += 1 + size / 2) {
        size_t n = 0;
        heap = mem_heap_in(memory, NBYTES, &o);
        unsigned char *p;
        while ((p = mem_alloc(heap, size)) != NULL)
            known[n++] = (struct known){p, size};
        for (size_t i = 0; i < n; i++)
            memset(known[i].start, (int)(i & 255), size);
        assert_int_equal(mem_last_error(), MEM_NO_SPACE);
        assert_true(n * (size + 16) > NBYTES / 2);
        for (size_t i = 0; i < n; i += 2)
            assert_int_equal(mem_free(heap, known[i].start), MEM_OK);
        assert_int_equal(mem_free(heap, mem_alloc(heap, size)), MEM_OK);
        /* The heap is not detached: a copy between two calls is good. */
        memcpy(elsewhere, memory, NBYTES);
        mem_heap *copy = mem_heap_attach(elsewhere, NBYTES, NULL);
        assert_non_null(copy);
        for (size_t i = 1; i < n; i += 2) {
            p = elsewhere + (known[i].start - memory);
            assert_int_equal(p[size - 1], i & 255);
            assert_int_equal(mem_free(copy, p), MEM_OK);
            assert_int_equal(mem_free(heap, known[i].start), MEM_OK);
        }
        for (int i = 0; i < 100; i++) {
            p = mem_alloc(copy, size);
            assert_true(p == NULL || (size_t)(p - elsewhere) < NBYTES);
        }
        assert_int_equal(mem_check(copy, NULL), MEM_OK);
        assert_int_equal(mem_check(heap, NULL), MEM_OK);
        assert_int_equal(mem_heap_destroy(copy), MEM_OK);
        assert_int_equal(mem_heap_destroy(heap), MEM_OK);
    }
}

/* Slack that one class has recorded behind its states must mean nothing to another class that
 * gets the span later. */
static void test_another_class(void **state)
{
    (void)state;
    const struct mem_options o = {.flags = MEM_SLOTS | MEM_SINGLE_THREADED};
    heap = mem_heap_in(memory, 1000000, &o);
    for (size_t size = 2000; size > 1000; size -= 300) {
        for (int i = 0; i < 100; i++) {
            known[i].start = mem_alloc(heap, size);
            assert_ptr_equal(mem_resize(heap, known[i].start, 600), known[i].start);
        }
        for (int i = 0; i < 100; i++)
            assert_int_equal(mem_free(heap, known[i].start), MEM_OK);
        check_all();
    }
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
}

static void assert_refused(void *object)
{
    assert_null(mem_alloc(heap, 40));
    assert_int_equal(mem_last_error(), MEM_DAMAGED);
    assert_null(mem_zalloc(heap, 3000));
    assert_null(mem_resize(heap, object, 41));
    assert_int_equal(mem_free(heap, object), MEM_DAMAGED);
    assert_int_equal(mem_free_any(heap, object), MEM_DAMAGED);
}

static void assert_usable(void *object)
{
    check_all();
    assert_int_equal(mem_free(heap, mem_alloc(heap, 40)), MEM_OK);
    assert_ptr_equal(mem_resize(heap, object, 41), object);
    assert_int_equal(mem_free(heap, object), MEM_OK);
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
}

/* The state of a free slot is changed to that of an object. */
static void test_calls_that_check(void **state)
{
    (void)state;
    for (unsigned threads = 0; threads <= MEM_SINGLE_THREADED; threads++) {
        const struct mem_options o = {.flags = MEM_SLOTS | MEM_CHECK_CALLS | threads};
        struct slot slot;
        heap = mem_heap_in(memory, 1 << 16, &o);
        unsigned char *object = mem_alloc(heap, 40), *other = mem_alloc(heap, 40);
        assert_int_equal(mem_free(heap, other), MEM_OK);
        const struct heap *h = header_at(heap, heap->state);
        assert_true(spans_find(&h->spans, region_offset(&h->chunks.region, other), &slot));
        unsigned char *states = pagemap_span(&h->spans, slot.slice)->states;
        states[slot.index] = 1;
        assert_refused(object);
        states[slot.index] = 0;
        assert_usable(object);
    }
}

/* A child process finds the heap so if another thread of its parent was in the middle of a call
 * for too long at the fork. */
static void test_a_call_that_nobody_finishes(void **state)
{
    (void)state;
    heap = mem_heap_in(memory, 1 << 16, &(struct mem_options){.flags = MEM_SLOTS});
    void *object = mem_alloc(heap, 40);
    heap->changes++;
    assert_refused(object);
    heap->changes++;
    assert_usable(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random),
                                       cmocka_unit_test(test_full_and_moved),
                                       cmocka_unit_test(test_another_class),
                                       cmocka_unit_test(test_calls_that_check),
                                       cmocka_unit_test(test_a_call_that_nobody_finishes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

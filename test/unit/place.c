/* SPDX-License-Identifier: MIT
 *
 * place.c - objects that must begin at a multiple, and objects that change their
 * size where they lie (heap.h), against a map of who owns each granule of a small
 * region. A heap that says "no space" must have no such run of free granules,
 * unless it is short of room for records.
 */
#include "unit.h"

#include <string.h>

#include "../../src/check.h"

enum { REGION = 1 << 16, GRANULES = REGION / 16, OBJECTS_MAX = 400, ALIGN_MAX = 1 << 13 };

/* Begins 48 bytes after a page, so that positions and addresses differ in alignment. */
static _Alignas(ALIGN_MAX) unsigned char memory[REGION + ALIGN_MAX];
static unsigned char *const region = memory + 4096 + 48;
static struct heap heap = {.lock = PTHREAD_MUTEX_INITIALIZER};
static int owner[GRANULES]; /* 0: nobody's */
static struct held {
    unsigned char *start;
    size_t size;
} held[OBJECTS_MAX + 1];
static int nheld;
static uint64_t dice, nplaced, nrefused, ngrown, nshrunk, nfull;

static size_t first_of(const unsigned char *p)
{
    return (size_t)(p - region) / 16;
}

static size_t granules_of(size_t size)
{
    return size == 0 ? 1 : (size + 15) / 16;
}

static void own(int who, const unsigned char *start, size_t size, int expected)
{
    for (size_t g = first_of(start); g < first_of(start) + granules_of(size); g++) {
        assert_true(owner[g] == expected || owner[g] == who);
        owner[g] = who;
    }
}

static void fill(int i)
{
    memset(held[i].start, i % 251 + 1, held[i].size);
}

static void assert_filled(int i, size_t size)
{
    for (size_t k = 0; k < size; k++)
        assert_int_equal(held[i].start[k], i % 251 + 1);
}

/* Room for the records of three chunks more, whatever is where. */
static bool has_records(void)
{
    struct ledger *l = &heap.ledger;
    return l->b.top * 16 + (l->b.tree[BY_ADDRESS].nwords + 3) * CHUNK_COST <= l->nbytes;
}

static bool is_free_run(size_t first, size_t n)
{
    size_t end = first;
    while (end < GRANULES && end - first < n && owner[end] == 0)
        end++;
    return end - first == n;
}

static void assert_no_run(size_t size, size_t align)
{
    size_t end = heap.ledger.b.top + ledger_tail(&heap.ledger).length - 2; /* TAIL_SPARE */
    for (size_t g = 0; has_records() && g + granules_of(size) <= end; g++)
        if ((uintptr_t)(region + g * 16) % align == 0)
            assert_false(is_free_run(g, granules_of(size)));
}

static void place(size_t size, size_t align)
{
    void *object;
    enum heap_result result = heap_take_aligned(&heap, size, align, &object);
    if (result != HEAP_OK) {
        assert_int_equal(result, HEAP_NO_SPACE);
        assert_no_run(size, align);
        nfull++;
        return;
    }
    assert_int_equal((uintptr_t)object % align, 0);
    held[++nheld] = (struct held){object, size};
    own(nheld, object, size, 0);
    fill(nheld);
    nplaced++;
}

static void resize(int i, size_t size)
{
    struct held *o = &held[i];
    size_t keep = o->size < size ? o->size : size;
    size_t next = first_of(o->start) + granules_of(o->size);
    enum heap_result result = heap_resize(&heap, o->start, size);
    assert_filled(i, keep);
    if (result != HEAP_OK) {
        assert_int_equal(result, HEAP_NO_SPACE);
        assert_true(granules_of(size) > granules_of(o->size));
        if (has_records() && next < heap.ledger.b.top)
            assert_false(is_free_run(next, granules_of(size) - granules_of(o->size)));
        nrefused++;
        return;
    }
    nshrunk += size < o->size;
    ngrown += size > o->size;
    own(0, o->start, o->size, i);
    own(i, o->start, size, 0);
    o->size = size;
    fill(i);
}

static void release(int i)
{
    assert_filled(i, held[i].size);
    assert_int_equal(heap_free_exact(&heap, held[i].start + 1),
                     held[i].size > 1 ? HEAP_INSIDE : HEAP_NO_OBJECT);
    assert_int_equal(heap_free_exact(&heap, held[i].start), HEAP_OK);
    assert_int_equal(heap_free_exact(&heap, held[i].start), HEAP_FREE);
    own(0, held[i].start, held[i].size, i);
    if (i != nheld) {
        held[i] = held[nheld];
        own(i, held[i].start, held[i].size, nheld);
        fill(i);
    }
    nheld--;
}

static void assert_objects_found(void)
{
    for (int i = 1; i <= nheld; i++) {
        struct object found;
        assert_int_equal(heap_find_exact(&heap, held[i].start, &found), HEAP_OK);
        assert_ptr_equal(found.start, held[i].start);
        assert_int_equal(found.size, held[i].size);
    }
}

static void one_call(size_t size_max, uint32_t free_percent)
{
    size_t size = rnd(&dice, (uint32_t)size_max); /* 0 too */
    uint32_t what = rnd(&dice, 100);
    if (what < free_percent && nheld > 0)
        release(1 + (int)rnd(&dice, (uint32_t)nheld));
    else if (what % 3 == 0 && nheld > 0)
        resize(1 + (int)rnd(&dice, (uint32_t)nheld), size);
    else if (nheld < OBJECTS_MAX)
        place(size, (size_t)1 << rnd(&dice, 14));
}

static void test_any_history(void **state)
{
    (void)state;
    dice = 20;
    for (int run = 0; run < 60; run++) {
        size_t size_max = (size_t)16 << rnd(&dice, 10);
        memset(owner, 0, sizeof owner);
        heap_open_locked(&heap, (struct region){region, REGION}, NULL);
        for (int i = 0; i < 1000; i++) {
            one_call(size_max, i / 200 % 2 ? 60 : 25);
            if (i % 50 == 0) {
                assert_int_equal(check_heap(&heap), HEAP_OK);
                assert_objects_found();
            }
        }
        while (nheld > 0)
            release(nheld);
        assert_int_equal(check_heap(&heap), HEAP_OK);
        assert_int_equal(ledger_tail(&heap.ledger).length, (REGION - CHUNK_COST) / 16);
    }
    assert_true(nplaced > 5000 && nrefused > 500 && ngrown > 500 && nshrunk > 500 && nfull > 100);
}

static void test_wrong_addresses(void **state)
{
    (void)state;
    void *object, *other;
    struct object found;
    heap_open_locked(&heap, (struct region){region, REGION}, NULL);
    assert_int_equal(heap_take(&heap, 100, FIT_BEST, &object), HEAP_OK);
    assert_int_equal(heap_take(&heap, 100, FIT_BEST, &other), HEAP_OK);
    char *p = object;
    assert_int_equal(heap_resize(&heap, p + 1, 50), HEAP_INSIDE);
    assert_int_equal(heap_resize(&heap, p + 100, 50), HEAP_NO_OBJECT);
    assert_int_equal(heap_resize(&heap, p, 200), HEAP_NO_SPACE); /* `other` is in the way */
    assert_int_equal(heap_resize(&heap, p, SIZE_MAX), HEAP_NO_SPACE);
    assert_int_equal(heap_resize(&heap, &found, 50), HEAP_NOT_OURS);
    assert_int_equal(heap_find_exact(&heap, p + 99, &found), HEAP_INSIDE);
    assert_ptr_equal(found.start, p);
    assert_int_equal(heap_free_exact(&heap, other), HEAP_OK);
    assert_int_equal(heap_resize(&heap, p, 200), HEAP_OK);
    assert_int_equal(heap_resize(&heap, other, 50), HEAP_INSIDE);
    assert_int_equal(heap_take_aligned(&heap, 1, (size_t)1 << 40, &other), HEAP_NO_SPACE);
    assert_int_equal(heap_take_aligned(&heap, SIZE_MAX, 4096, &other), HEAP_NO_SPACE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_history),
        cmocka_unit_test(test_wrong_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * hard.c - checks what the measures of LIBMEM=hard do where the system refuses what they ask for,
 * and which room an object is given and may keep (malloc/hard.h).
 *
 * The heap is the test's own, in place of malloc's, and what hard.c asks of the system is wrapped.
 */
#include "unit.h"

#include <string.h>

#include "malloc/canary.h"
#include "malloc/hard.h"
#include "malloc/start.h"

struct heap shim_heap;

enum { REGION_BYTES = 1 << 26, LARGE = 200000, EVERY_CALL = -1 };

static unsigned char *region;
static struct clean clean;
static struct fault fault;
static int nrandom = EVERY_CALL; /* how many calls for random numbers are answered */
static bool no_forbid, no_allow, no_give_back, no_map, all_random_are_0;

bool __real_os_random(void *bytes, size_t n);
bool __real_os_forbid(void *address, size_t nbytes);
bool __real_os_allow(void *address, size_t nbytes);
bool __real_os_give_back(void *address, size_t nbytes);
void *__real_os_map(size_t nbytes);

bool __wrap_os_random(void *bytes, size_t n)
{
    if (nrandom == 0)
        return false;
    nrandom -= nrandom > 0;
    if (all_random_are_0) {
        memset(bytes, 0, n);
        return true;
    }
    return __real_os_random(bytes, n);
}

static unsigned char *forbidden; /* what was closed last */

bool __wrap_os_forbid(void *address, size_t nbytes)
{
    forbidden = address;
    return !no_forbid && __real_os_forbid(address, nbytes);
}

bool __wrap_os_allow(void *address, size_t nbytes)
{
    return !no_allow && __real_os_allow(address, nbytes);
}

bool __wrap_os_give_back(void *address, size_t nbytes)
{
    return !no_give_back && __real_os_give_back(address, nbytes);
}

void *__wrap_os_map(size_t nbytes)
{
    return no_map ? NULL : __real_os_map(nbytes);
}

static const char *open_measures(unsigned measures)
{
    struct options o = {.measures = measures, .quarantine_bytes = 1 << 16};
    shim_heap = (struct heap){.chunks.clean = &clean};
    fault = (struct fault){0};
    hard_measures = 0;
    return hard_open(&o);
}

/* Opens the heap of a process with these measures, in nbytes of address space. */
static void open_heap(unsigned measures, size_t nbytes)
{
    assert_null(open_measures(measures));
    region = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                  -1, 0);
    assert_true(region != MAP_FAILED);
    heap_open_locked(&shim_heap, (struct region){region, nbytes, true, 0}, NULL);
    hard_heap_opened();
}

static void close_heap(size_t nbytes)
{
    assert_int_equal(fault.kind, FAULT_NONE);
    munmap(region, nbytes);
}

static unsigned char *take(size_t nbytes, size_t align, enum call call)
{
    void *object = NULL;
    assert_int_equal(hard_take(nbytes, align, call, &object, NULL, &fault), HEAP_OK);
    memset(object, 0xA5, nbytes);
    return object;
}

static void give(void *object)
{
    struct object found;
    assert_int_equal(hard_free(object, CALL_FREE, &found, &fault), HEAP_OK);
    assert_ptr_equal(found.start, object);
}

static enum heap_result resize(void *object, size_t nbytes, bool anyway)
{
    return hard_resize(object, nbytes, anyway, CALL_REALLOC, &fault);
}

static size_t room_of(const void *object)
{
    struct object found;
    struct location at;
    assert_int_equal(heap_locate_locked(&shim_heap, object, &found, &at), HEAP_OK);
    return location_room(&at);
}

static size_t size_of(const void *object)
{
    struct object found;
    assert_int_equal(hard_find(object, &found), HEAP_OK);
    return found.size;
}

/* Each measure that cannot be put into force is refused with its reason, and then none is. */
static void test_what_opening_needs(void **state)
{
    (void)state;
    nrandom = 0;
    assert_string_equal(open_measures(MEASURES_ALL), "the system has no random numbers");
    nrandom = 1; /* enough for the canaries, and not for the slots */
    assert_string_equal(open_measures(MEASURES_ALL), "the system has no random numbers");
    nrandom = EVERY_CALL;
    no_map = true;
    assert_non_null(strstr(open_measures(MEASURES_ALL), "give a smaller quarantine=BYTES"));
    assert_int_equal(hard_measures, 0);
    assert_null(open_measures(MEASURES_ALL & ~MEASURE_QUARANTINE));
    no_map = false;
    assert_int_equal(hard_measures, MEASURES_HARD & ~MEASURE_QUARANTINE);
    open_heap(MEASURES_ALL, REGION_BYTES);
    struct options o = {.measures = MEASURES_ALL};
    assert_string_equal(hard_open(&o), "memory was needed before it could be read");
    close_heap(REGION_BYTES);
}

/* A child goes on with random numbers of its own, if there are any, and chooses slots at random
 * only if its parent did. */
static void test_forks(void **state)
{
    (void)state;
    open_heap(MEASURE_RANDOM, REGION_BYTES);
    uint64_t was = shim_heap.spans.random;
    assert_true(was != 0);
    nrandom = 0;
    hard_forked();
    assert_true(shim_heap.spans.random == was);
    nrandom = EVERY_CALL;
    hard_forked();
    assert_true(shim_heap.spans.random != was && shim_heap.spans.random % 2 == 1);
    all_random_are_0 = true; /* such numbers are not what a generator can begin with */
    hard_forked();
    assert_true(shim_heap.spans.random != 0);
    all_random_are_0 = false;
    close_heap(REGION_BYTES);
    open_heap(MEASURES_ALL & ~MEASURE_RANDOM, REGION_BYTES);
    hard_forked();
    assert_true(shim_heap.spans.random == 0);
    close_heap(REGION_BYTES);
}

/* A large object begins with a page, or with more if that is asked for, and has a closed page; one
 * that realloc or reallocarray takes has an eighth more room. */
static void test_large_objects(void **state)
{
    (void)state;
    size_t page = os_page_bytes();
    open_heap(MEASURES_ALL, REGION_BYTES);
    for (size_t align = 16; align <= 1 << 18; align *= 4) {
        unsigned char *p = take(LARGE, align, CALL_MEMALIGN);
        assert_true((uintptr_t)p % align == 0 && (uintptr_t)p % page == 0);
        assert_true(room_of(p) >= LARGE + page && room_of(p) < LARGE + 2 * page + LARGE / 8);
        give(p);
    }
    size_t room = room_of(take(LARGE, 16, CALL_MALLOC));
    assert_true(room < LARGE + 2 * page);
    assert_true(room_of(take(LARGE, 16, CALL_REALLOC)) >= room + LARGE / 8 - page);
    assert_true(room_of(take(LARGE, 16, CALL_REALLOCARRAY)) >= room + LARGE / 8 - page);
    close_heap(REGION_BYTES);
}

/* Pages that the system does not close are part of the slack. Pages that it does not open again
 * stay closed: the object keeps its size, or is never used again. */
static void test_pages_that_are_refused(void **state)
{
    (void)state;
    open_heap(MEASURE_GUARD | MEASURE_CANARY, REGION_BYTES);
    no_forbid = true;
    unsigned char *p = take(LARGE, 16, CALL_MALLOC);
    p[room_of(p) - 1] = 1; /* a fault, if it were closed */
    give(p);
    no_forbid = false;
    p = take(LARGE, 16, CALL_MALLOC);
    no_allow = true;
    assert_int_equal(resize(p, LARGE - 5, false), HEAP_NO_SPACE);
    assert_int_equal(size_of(p), LARGE);
    uint32_t live = shim_heap.chunks.ledger.live_granules;
    give(p);
    assert_int_equal(shim_heap.chunks.ledger.live_granules, live);
    unsigned char *other = take(LARGE, 16, CALL_MALLOC);
    assert_true(other != p);
    no_allow = false;
    assert_int_equal(resize(other, LARGE - 5, false), HEAP_OK);
    assert_int_equal(size_of(other), LARGE - 5);
    give(other);
    assert_int_equal(shim_heap.chunks.ledger.live_granules, live);
    close_heap(REGION_BYTES);
}

/* A large object that changes its size where it is gets closed pages behind its new end. */
static void test_pages_behind_a_new_end(void **state)
{
    (void)state;
    size_t page = os_page_bytes(), nbytes = LARGE / page * page;
    open_heap(MEASURE_GUARD, REGION_BYTES);
    unsigned char *p = take(nbytes, 16, CALL_MALLOC);
    assert_ptr_equal(forbidden, p + nbytes);
    assert_int_equal(resize(p, nbytes - page, true), HEAP_OK);
    assert_ptr_equal(forbidden, p + nbytes - page);
    close_heap(REGION_BYTES);
}

/* Freed memory is cleared byte by byte where its pages do not go back. */
static void test_pages_that_do_not_go_back(void **state)
{
    (void)state;
    for (int refused = 0; refused < 2; refused++) {
        open_heap(MEASURE_ZERO, REGION_BYTES);
        unsigned char *p = take(LARGE, 16, CALL_MALLOC);
        no_give_back = refused != 0;
        give(p);
        no_give_back = false;
        for (size_t i = 0; i < LARGE; i++)
            assert_int_equal(p[i], 0);
        close_heap(REGION_BYTES);
    }
}

/* An object stays where it is if it is small, or keeps a quarter of its room or three quarters of
 * its size; or anyway, if it fits. An object of no byte never does. */
static void test_what_stays_in_its_room(void **state)
{
    enum { ROOM = 4096 };
    (void)state;
    open_heap(MEASURE_ZERO, REGION_BYTES);
    unsigned char *p = take(100, ROOM, CALL_MEMALIGN);
    assert_int_equal(room_of(p), ROOM);
    assert_int_equal(resize(p, 75, false), HEAP_OK);
    assert_int_equal(resize(p, 56, false), HEAP_NO_SPACE);
    assert_int_equal(resize(p, 56, true), HEAP_OK);
    assert_int_equal(size_of(p), 56);
    for (int i = 56; i < 100; i++)
        assert_int_equal(p[i], 0); /* what it gave up was cleared */
    assert_int_equal(resize(p, ROOM / 4, false), HEAP_OK);
    assert_int_equal(resize(p, ROOM, false), HEAP_OK);
    assert_int_equal(resize(p, ROOM, false), HEAP_OK); /* there is no slack to clear */
    assert_int_equal(resize(p, ROOM + 1, true), HEAP_NO_SPACE);
    assert_int_equal(resize(p, ROOM / 4, false), HEAP_OK);
    assert_int_equal(resize(p, ROOM / 4 - 1, false), HEAP_OK); /* nearly all of its size */
    unsigned char *small = take(500, 16, CALL_MALLOC);
    assert_int_equal(resize(small, 300, false), HEAP_OK);
    unsigned char *empty = take(0, 16, CALL_MALLOC);
    assert_int_equal(resize(empty, 1, true), HEAP_NO_SPACE);
    assert_int_equal(resize(empty + 1, 1, true), HEAP_NO_OBJECT);
    close_heap(REGION_BYTES);
}

/* Only canaries take room behind an object. */
static void test_room_for_canaries(void **state)
{
    (void)state;
    open_heap(MEASURES_ALL & ~MEASURE_CANARY, REGION_BYTES);
    assert_int_equal(room_of(take(32, 16, CALL_MALLOC)), 32);
    close_heap(REGION_BYTES);
    open_heap(MEASURE_CANARY, REGION_BYTES);
    assert_int_equal(room_of(take(32, 16, CALL_MALLOC)), 48);
    assert_int_equal(room_of(take(32 - CANARY_BYTES, 16, CALL_MALLOC)), 32);
    close_heap(REGION_BYTES);
}

/* The first byte of a canary that is changed is told, whatever it is changed to, although it may
 * then be as in the canary of another family; and although another family frees the object. */
static void test_the_first_changed_byte_is_told(void **state)
{
    (void)state;
    enum { AT = 1 };
    static const enum call calls[] = {CALL_MALLOC, CALL_NEW, CALL_NEW_ARRAY};
    struct object found;
    open_heap(MEASURE_CANARY, REGION_BYTES);
    for (size_t nbytes = 100; nbytes < 120; nbytes++) {
        for (unsigned change = 1; change < 256; change++) {
            unsigned char *p = take(nbytes, 16, calls[change % 3]);
            p[nbytes + AT] ^= (unsigned char)change;
            assert_int_equal(hard_free(p, CALL_FREE, &found, &fault), HEAP_OK);
            assert_int_equal(fault.kind, FAULT_OVERRUN);
            assert_int_equal(fault.at, nbytes + AT);
            fault = (struct fault){0};
        }
    }
    close_heap(REGION_BYTES);
}

/* What a call has found first is what it reports. */
static void test_the_first_fault_is_told(void **state)
{
    (void)state;
    struct object found;
    open_heap(MEASURE_CANARY | MEASURE_MISMATCH, REGION_BYTES);
    unsigned char *p = take(100, 16, CALL_NEW), *q = take(100, 16, CALL_NEW_ARRAY);
    assert_int_equal(hard_free(p, CALL_FREE, &found, &fault), HEAP_OK);
    assert_int_equal(fault.kind, FAULT_MISMATCH);
    assert_int_equal(fault.allocated_by, CALL_NEW);
    fault = (struct fault){.kind = FAULT_STALE, .allocated_by = CALL_PVALLOC};
    assert_int_equal(hard_free(q, CALL_DELETE, &found, &fault), HEAP_OK);
    assert_int_equal(fault.kind, FAULT_STALE);
    assert_int_equal(fault.allocated_by, CALL_PVALLOC);
    fault = (struct fault){0};
    close_heap(REGION_BYTES);
}

/* Each byte that is written after its object was freed is seen when the object leaves the
 * quarantine, whatever is written. */
static void test_each_write_after_free_is_seen(void **state)
{
    (void)state;
    enum { NBYTES = 40 };
    open_heap(MEASURE_QUARANTINE | MEASURE_ZERO, REGION_BYTES);
    for (int at = 0; at < NBYTES; at++) {
        unsigned char *p = take(NBYTES, 16, CALL_MALLOC);
        give(p);
        p[at] = 1;
        for (int i = 0; i < 100 && fault.kind == FAULT_NONE; i++)
            give(take(1000, 16, CALL_MALLOC));
        assert_int_equal(fault.kind, FAULT_STALE);
        fault = (struct fault){0};
    }
    close_heap(REGION_BYTES);
}

/* Of an object of 4 GiB no record says that all of it is slack: so it is not held in quarantine,
 * and goes back at once; nor does it shrink where it is. */
static void test_too_large_for_the_quarantine(void **state)
{
    const size_t gib = (size_t)1 << 30, nbytes = 9 * gib;
    struct object found;
    void *p = NULL, *q = NULL;
    (void)state;
    if (!mappings_are_cheap())
        skip();
    open_heap(MEASURE_QUARANTINE | MEASURE_GUARD | MEASURE_CANARY | MEASURE_ZERO, nbytes);
    uint32_t live = shim_heap.chunks.ledger.live_granules;
    assert_int_equal(hard_take(5 * gib, 16, CALL_MALLOC, &p, NULL, &fault), HEAP_OK);
    assert_int_equal(resize(p, gib / 2, true), HEAP_NO_SPACE);
    assert_int_equal(size_of(p), 5 * gib);
    give(p);
    assert_int_equal(hard_find(p, &found), HEAP_FREE);
    assert_int_equal(shim_heap.chunks.ledger.live_granules, live);
    assert_int_equal(hard_take(3 * gib, 16, CALL_MALLOC, &q, NULL, &fault), HEAP_OK);
    give(q); /* this one is held */
    assert_int_equal(hard_find(q, &found), HEAP_FREE);
    assert_true(shim_heap.chunks.ledger.live_granules > live);
    close_heap(nbytes);
}

/* When there is no space, the quarantine gives up what it holds; when it holds nothing, no object
 * is handed out. */
static void test_a_full_heap(void **state)
{
    enum { BYTES = 1 << 20, LONG = 40000 };
    void *p = NULL;
    (void)state;
    open_heap(MEASURES_ALL, BYTES);
    for (int i = 0; i < 200; i++)
        give(take(LONG, 16, CALL_MALLOC));
    int n = 0;
    while (hard_take(LONG, 16, CALL_MALLOC, &p, NULL, &fault) == HEAP_OK)
        n++;
    assert_true(n > BYTES / LONG / 2);
    assert_int_equal(hard_take(LONG, 16, CALL_MALLOC, &p, NULL, &fault), HEAP_NO_SPACE);
    close_heap(BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_opening_needs),
        cmocka_unit_test(test_forks),
        cmocka_unit_test(test_large_objects),
        cmocka_unit_test(test_pages_that_are_refused),
        cmocka_unit_test(test_pages_behind_a_new_end),
        cmocka_unit_test(test_pages_that_do_not_go_back),
        cmocka_unit_test(test_what_stays_in_its_room),
        cmocka_unit_test(test_room_for_canaries),
        cmocka_unit_test(test_the_first_changed_byte_is_told),
        cmocka_unit_test(test_the_first_fault_is_told),
        cmocka_unit_test(test_each_write_after_free_is_seen),
        cmocka_unit_test(test_too_large_for_the_quarantine),
        cmocka_unit_test(test_a_full_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

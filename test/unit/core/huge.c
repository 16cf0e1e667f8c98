/* SPDX-License-Identifier: MIT
 *
 * huge.c - checks when large objects ask for huge pages (core/huge.h): the policy with a simulated
 * clock, and a heap whose system makes huge pages fast or slowly.
 *
 * os_make_page is wrapped, so that a page takes as long as the test says, and os_want_huge_pages
 * and os_give_back, to see what the heap asks for.
 */
#include "unit.h"

#include <string.h>
#include <time.h>

#include "core/heap.h"

enum { MIB = 1 << 20, REGION_BYTES = 256 * MIB, OBJECT = 6 * MIB };

static struct heap heap;
static struct clean clean;
static unsigned char *region;
static bool slow;
static unsigned char *made, *given_back;
static size_t nwanted;
static unsigned nmade;

/* By a clock of the system: the processor's counter may be read in other units. */
static void wait_milliseconds(unsigned n)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < n);
}

void __wrap_os_make_page(void *address)
{
    enum { SLOW_MS = 10 };
    made = address;
    nmade++;
    made[0] = 0;
    if (slow)
        wait_milliseconds(SLOW_MS);
}

void __wrap_os_want_huge_pages(void *address, size_t nbytes, bool wanted)
{
    (void)address;
    nwanted = wanted ? nbytes : 0;
}

bool __real_os_give_back(void *address, size_t nbytes);

bool __wrap_os_give_back(void *address, size_t nbytes)
{
    given_back = address;
    return __real_os_give_back(address, nbytes);
}

static int open_heap(void **state)
{
    (void)state;
    region = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    heap = (struct heap){.chunks.clean = &clean};
    heap_open_locked(&heap, (struct region){region, REGION_BYTES, true, 0}, NULL);
    heap.wants_huge_pages = true;
    slow = false;
    made = given_back = NULL;
    nwanted = nmade = 0;
    return region == MAP_FAILED;
}

static int close_heap(void **state)
{
    (void)state;
    return munmap(region, REGION_BYTES);
}

static unsigned char *take(size_t nbytes)
{
    void *object = NULL;
    made = given_back = NULL;
    nwanted = 0;
    assert_int_equal(heap_take(&heap, nbytes, FIT_ANY, &object), HEAP_OK);
    return object;
}

static void test_a_fast_page_goes_back(void **state)
{
    (void)state;
    enum { TRIES = 10 }; /* another program may run while a page is timed */
    unsigned char *object = take(OBJECT);
    for (int i = 0; i < TRIES && given_back == NULL; i++) {
        heap.huge.again = 0;
        object = take(OBJECT);
    }
    assert_non_null(made);
    assert_true(made >= object && made + HUGE_PAGE_BYTES <= object + OBJECT);
    assert_ptr_equal(made, given_back);
    assert_true(nwanted >= OBJECT);
}

static void test_after_a_slow_page_none_is_wanted(void **state)
{
    (void)state;
    slow = true;
    take(OBJECT);
    assert_int_equal(nmade, 1);
    assert_null(given_back);
    assert_int_equal(nwanted, HUGE_PAGE_BYTES); /* the one that was timed */
    heap.huge.again += REGION_BYTES;            /* however long this test waits for a processor */
    take(OBJECT);
    assert_int_equal(nmade, 1);
    assert_int_equal(nwanted, 0);
}

/* After a pause of 20 ms, which is 40 at most by a slow clock, a page is timed again. */
static void test_a_pause_ends(void **state)
{
    enum { PAUSE_MS = 41 };
    (void)state;
    slow = true;
    take(OBJECT);
    slow = false;
    wait_milliseconds(PAUSE_MS);
    take(OBJECT);
    assert_int_equal(nmade, 2);
}

/* Memory that was used has its pages already, so none is timed there, and it keeps its bytes. */
static void test_what_was_used_is_not_timed(void **state)
{
    (void)state;
    unsigned char *object = take(OBJECT);
    assert_int_equal(nmade, 1);
    memset(object, 1, OBJECT);
    take(MIB); /* so that the space is a hole */
    heap.huge.again = 0;
    assert_int_equal(heap_free(&heap, object), HEAP_OK);
    assert_ptr_equal(take(OBJECT), object);
    assert_int_equal(nmade, 1);
    assert_int_equal(object[0], 1);
    assert_int_equal(object[OBJECT - 1], 1);
}

/* What realloc adds to an object is asked for likewise, and the object keeps its bytes. */
static void test_growth(void **state)
{
    (void)state;
    unsigned char *object = take(MIB);
    memset(object, 1, MIB);
    assert_int_equal(nmade, 0);
    assert_int_equal(heap_resize(&heap, object, OBJECT, true), HEAP_OK);
    assert_int_equal(nmade, 1);
    assert_true(made >= object + MIB && made + HUGE_PAGE_BYTES <= object + OBJECT);
    for (size_t i = 0; i < OBJECT; i++)
        assert_int_equal(object[i], i < MIB);
}

/* --- the policy ---------------------------------------------------------------- */

static void test_pauses_grow_and_end(void **state)
{
    static const uint64_t pause[] = {20, 80, 320, 1000, 1000};
    struct huge h = {0};
    uint64_t now = 5000000;
    (void)state;
    assert_int_equal(huge_ask(&h, true, now), HUGE_TIME_ONE);
    for (size_t i = 0; i < sizeof pause / sizeof *pause; i++) {
        assert_false(huge_note(&h, 5, now));
        now += pause[i] - 1;
        assert_int_equal(huge_ask(&h, true, now), HUGE_NO);
        now++;
        assert_int_equal(huge_ask(&h, false, now), HUGE_NO);
        assert_int_equal(huge_ask(&h, true, now), HUGE_TIME_ONE);
        assert_int_equal(huge_ask(&h, true, now), HUGE_NO); /* another thread */
    }
    assert_true(huge_note(&h, 1, now));
    assert_int_equal(huge_ask(&h, true, now + 4), HUGE_YES);
    assert_int_equal(huge_ask(&h, false, now + 5), HUGE_YES);
    assert_int_equal(huge_ask(&h, true, now + 5), HUGE_TIME_ONE);
    assert_int_equal(huge_ask(&h, true, now + 5), HUGE_YES);
    assert_false(huge_note(&h, 2, now)); /* the pauses begin anew */
    assert_int_equal(huge_ask(&h, true, now + 19), HUGE_NO);
    assert_int_equal(huge_ask(&h, true, now + 20), HUGE_TIME_ONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_heap, close_heap)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_fast_page_goes_back),
        TEST(test_after_a_slow_page_none_is_wanted),
        TEST(test_a_pause_ends),
        TEST(test_what_was_used_is_not_timed),
        TEST(test_growth),
        cmocka_unit_test(test_pauses_grow_and_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

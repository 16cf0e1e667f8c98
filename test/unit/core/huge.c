/* SPDX-License-Identifier: MIT
 *
 * huge.c - checks when large objects, and heaps that grow, ask for huge pages (core/huge.h): the
 * policy, and a heap whose system makes huge pages fast or slowly.
 *
 * os_milliseconds, os_make_page and os_small_page_ns are wrapped, so that pages take as long as the
 * test says, and os_want_huge_pages and os_give_back, to see what the heap asks for.
 */
#include "unit.h"

#include <string.h>

#include "core/heap.h"

enum { MIB = 1 << 20, REGION_BYTES = 1024 * MIB, OBJECT = 6 * MIB };
enum { PIECE_BYTES = HUGE_PIECE * GRANULE_BYTES };

static struct heap heap;
static struct clean clean;
static unsigned char *region;
static bool slow;
static uint64_t now_ms = 1;
static unsigned char *made, *given_back, *wanted_from;
static size_t nwanted;
static unsigned nmade;
static enum { NEVER, WANTED, UNWANTED } wish[REGION_BYTES / HUGE_PAGE_BYTES];
static unsigned nsmall;
static uint64_t small_ns;

static unsigned char *next_huge_page(void *address)
{
    return (unsigned char *)(ceil_div((uintptr_t)address, HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES);
}

/* The number of a whole huge page of the region. */
static size_t number_of(unsigned char *page)
{
    assert_true(page >= region && page + HUGE_PAGE_BYTES <= region + REGION_BYTES);
    return (size_t)(page - next_huge_page(region)) / HUGE_PAGE_BYTES;
}

/* The time stands still but where the test lets it go on, however long the test waits for a
 * processor. */
uint64_t __wrap_os_milliseconds(struct os_clock *clock)
{
    (void)clock;
    return now_ms;
}

void __wrap_os_make_page(void *address)
{
    enum { SLOW_MS = 10 };
    made = address;
    nmade++;
    made[0] = 0;
    now_ms += slow ? SLOW_MS : 0;
}

uint64_t __real_os_small_page_ns(void *pages);

/* What is timed is free, and no byte of it was ever written to. */
uint64_t __wrap_os_small_page_ns(void *pages)
{
    const unsigned char *first = pages;
    size_t nbytes = OS_PAGES_TIMED * os_page_bytes();
    assert_true(first >= region + (size_t)heap.chunks.ledger.used * GRANULE_BYTES);
    assert_true(first + nbytes <= region + ledger_readable_bytes(&heap.chunks.ledger));
    assert_int_equal((uintptr_t)first % os_page_bytes(), 0);
    assert_int_equal(os_resident_bytes(pages, nbytes), 0);
    nsmall++;
    __real_os_small_page_ns(pages);
    return small_ns;
}

void __wrap_os_want_huge_pages(void *address, size_t nbytes, bool wanted)
{
    unsigned char *first = next_huge_page(address);
    wanted_from = address;
    nwanted = wanted ? nbytes : 0;
    for (; first + HUGE_PAGE_BYTES <= (unsigned char *)address + nbytes; first += HUGE_PAGE_BYTES)
        wish[number_of(first)] = wanted ? WANTED : UNWANTED;
}

bool __real_os_give_back(void *address, size_t nbytes);

bool __wrap_os_give_back(void *address, size_t nbytes)
{
    given_back = address;
    return __real_os_give_back(address, nbytes);
}

/* The region begins with a huge page, so that objects lie in the same ones each time. */
static bool map_region(int protection)
{
    unsigned char *map = mmap(NULL, REGION_BYTES + HUGE_PAGE_BYTES, protection,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return false;
    region = next_huge_page(map);
    size_t before = (size_t)(region - map);
    munmap(map, before); /* 0 bytes are refused, which does no harm */
    munmap(region + REGION_BYTES, HUGE_PAGE_BYTES - before);
    return true;
}

static int open_where_small_pages_take(uint64_t ns)
{
    small_ns = ns;
    if (!map_region(PROT_READ | PROT_WRITE))
        return -1;
    heap = (struct heap){.chunks.clean = &clean};
    heap_open_locked(&heap, (struct region){region, REGION_BYTES, true, 0}, NULL);
    heap.wants_huge_pages = true;
    slow = false;
    made = given_back = wanted_from = NULL;
    nwanted = nmade = nsmall = 0;
    memset(wish, 0, sizeof wish);
    return 0;
}

static int open_heap(void **state)
{
    (void)state;
    return open_where_small_pages_take(1000);
}

static int close_heap(void **state)
{
    (void)state;
    return munmap(region, REGION_BYTES);
}

static unsigned char *take(size_t nbytes)
{
    void *object = NULL;
    made = given_back = wanted_from = NULL;
    nwanted = 0;
    assert_int_equal(heap_take(&heap, nbytes, FIT_ANY, &object), HEAP_OK);
    return object;
}

static void test_a_fast_page_goes_back(void **state)
{
    (void)state;
    unsigned char *object = take(OBJECT);
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
    take(OBJECT);
    assert_int_equal(nmade, 1);
    assert_int_equal(nwanted, 0);
}

/* After a pause of 20 ms a page is timed again. */
static void test_a_pause_ends(void **state)
{
    enum { PAUSE_MS = 20 };
    (void)state;
    slow = true;
    take(OBJECT);
    slow = false;
    now_ms += PAUSE_MS;
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

/* --- a heap that grows ------------------------------------------------------------ */

/* Takes objects that are too small to ask for themselves until something asks, or the chunks end
 * above `most` bytes. */
static void grow_until_asked(size_t most)
{
    nwanted = 0;
    do
        take(MIB);
    while (nwanted == 0 && heap.chunks.ledger.used < most / GRANULE_BYTES);
}

static size_t used_bytes(void)
{
    return (size_t)heap.chunks.ledger.used * GRANULE_BYTES;
}

/* All that is asked for lies above what is used, in whole huge pages, without a space between
 * one piece and the next; and what was timed stays. */
static void test_a_large_heap_asks_ahead(void **state)
{
    const size_t size = HUGE_PAGE_BYTES, from = (size_t)HUGE_HEAP * GRANULE_BYTES;
    (void)state;
    grow_until_asked(from - 4 * MIB);
    assert_int_equal(nwanted, 0);
    grow_until_asked(REGION_BYTES);
    assert_in_range(used_bytes(), from - size, from);
    unsigned char *first = wanted_from;
    assert_int_equal((uintptr_t)first % size, 0);
    assert_in_range(first - region, from, from + size - 1);
    assert_int_equal(nwanted, PIECE_BYTES);
    assert_ptr_equal(made, first);
    assert_null(given_back);
    for (size_t n = 1; n < 4; n++) {
        grow_until_asked(REGION_BYTES);
        assert_ptr_equal(wanted_from, first + n * PIECE_BYTES);
        assert_int_equal(nwanted, PIECE_BYTES);
        assert_in_range(used_bytes(), n * PIECE_BYTES + from - size, n * PIECE_BYTES + from + size);
        assert_null(made);
    }
}

/* Slots, too, for which a thread's cache gets spans. */
static void test_slots_ask_ahead(void **state)
{
    enum { NBYTES = 1000 };
    static struct thread thread;
    unsigned sizeclass = sizeclass_of(NBYTES);
    void *object;
    (void)state;
    take((size_t)HUGE_HEAP * GRANULE_BYTES - 4 * MIB);
    nwanted = 0;
    heap_join(&heap, &thread);
    while (nwanted == 0 && used_bytes() < REGION_BYTES / 2)
        assert_true(tcache_take(&thread, NBYTES, sizeclass, &object, NULL) ||
                    heap_refill(&heap, &thread, sizeclass));
    assert_int_equal(nwanted, PIECE_BYTES);
    heap_leave(&heap, &thread);
}

/* A slow page alone is asked for, and the piece is passed over; the next one is not. */
static void test_growth_while_pages_are_slow(void **state)
{
    (void)state;
    slow = true;
    grow_until_asked(REGION_BYTES);
    assert_ptr_equal(made, wanted_from);
    assert_int_equal(nwanted, HUGE_PAGE_BYTES);
    unsigned char *first = wanted_from;
    slow = false;
    grow_until_asked((size_t)(first - region) + 2 * PIECE_BYTES - 4 * MIB);
    assert_int_equal(nwanted, 0);
    heap.huge.again = 0;
    grow_until_asked(REGION_BYTES);
    assert_ptr_equal(wanted_from, first + 2 * PIECE_BYTES);
    assert_ptr_equal(made, wanted_from);
}

/* One large object may reach far beyond what was asked for. Then the next piece begins behind it,
 * and at the end of the region there may be less than a piece, or nothing. */
static void test_growth_goes_on_behind_a_large_object(void **state)
{
    (void)state;
    take((size_t)HUGE_HEAP * GRANULE_BYTES);
    heap.huge.slow = false;
    heap.huge.again = UINT64_MAX; /* no page is timed */
    unsigned char *large = take(100 * MIB);
    grow_until_asked(REGION_BYTES);
    assert_in_range(wanted_from - large, 100 * MIB, 104 * MIB);
    unsigned char *end = region + REGION_BYTES;
    while (wanted_from + nwanted + HUGE_PAGE_BYTES <= end) {
        size_t left = (size_t)(end - wanted_from) - nwanted;
        grow_until_asked(REGION_BYTES - MIB);
        assert_int_equal(nwanted, left < PIECE_BYTES ? left / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES
                                                     : PIECE_BYTES);
    }
    void *object;
    while (heap_take(&heap, MIB, FIT_ANY, &object) == HEAP_OK)
        ;
}

/* Where small pages are slow, objects and growth ask from the beginning and time nothing. */
static void test_where_small_pages_are_slow(void **state)
{
    const size_t from = (size_t)HUGE_SOME * GRANULE_BYTES;
    (void)state;
    small_ns = 5000;
    slow = true;
    take(OBJECT);
    assert_in_range(nwanted, OBJECT, SIZE_MAX);
    assert_int_equal(nsmall, 1);
    grow_until_asked(REGION_BYTES);
    assert_in_range(used_bytes(), from - HUGE_PAGE_BYTES, from);
    unsigned char *first = wanted_from;
    assert_in_range(first - region, from, from + HUGE_PAGE_BYTES - 1);
    assert_int_equal(nwanted, PIECE_BYTES);
    grow_until_asked(REGION_BYTES);
    assert_ptr_equal(wanted_from, first + PIECE_BYTES);
    assert_int_equal(nmade, 0);
    assert_int_equal(nsmall, 1);
}

/* Frees an object between two others, so that a hole goes back that begins and ends within huge
 * pages, and returns the first whole one in it; `behind` is the one in which it ends. */
static unsigned char *give_a_hole_back(unsigned char **behind)
{
    take(OBJECT + OBJECT / 4);
    unsigned char *hole = take(OBJECT);
    memset(hole, 1, OBJECT);
    take(OBJECT);
    assert_int_not_equal((uintptr_t)hole % HUGE_PAGE_BYTES, 0);
    unsigned char *first = next_huge_page(hole);
    *behind = next_huge_page(hole + OBJECT) - HUGE_PAGE_BYTES;
    assert_in_range(first - hole, os_page_bytes(), HUGE_PAGE_BYTES);
    assert_in_range(hole + OBJECT - *behind, os_page_bytes(), HUGE_PAGE_BYTES);
    for (unsigned char *p = first - HUGE_PAGE_BYTES; p <= *behind; p += HUGE_PAGE_BYTES)
        assert_int_equal(wish[number_of(p)], WANTED);
    assert_int_equal(heap_free(&heap, hole), HEAP_OK);
    heap_trim(&heap);
    return first;
}

/* All of it, since smaller objects may come to lie there, and those that went back in part. */
static void test_what_goes_back_is_unwanted(void **state)
{
    unsigned char *behind, *first = give_a_hole_back(&behind);
    (void)state;
    for (unsigned char *p = first - HUGE_PAGE_BYTES; p <= behind; p += HUGE_PAGE_BYTES)
        assert_int_equal(wish[number_of(p)], UNWANTED);
    assert_int_equal(wish[number_of(first) - 2], WANTED);
    assert_int_equal(wish[number_of(behind) + 1], WANTED);
}

/* What went back in part would be made whole again by the system, and be resident. */
static void test_parts_that_go_back_are_unwanted_where_small_pages_are_slow(void **state)
{
    (void)state;
    small_ns = 5000;
    unsigned char *behind, *first = give_a_hole_back(&behind);
    assert_int_equal(wish[number_of(first) - 2], WANTED);
    assert_int_equal(wish[number_of(first) - 1], UNWANTED);
    for (unsigned char *p = first; p < behind; p += HUGE_PAGE_BYTES)
        assert_int_equal(wish[number_of(p)], WANTED);
    assert_int_equal(wish[number_of(behind)], UNWANTED);
    assert_int_equal(wish[number_of(behind) + 1], WANTED);
}

/* A hole may lie within one huge page, whether small pages are slow or not. */
static void test_a_part_of_one_that_goes_back_is_unwanted(void **state)
{
    enum { N = 64, NBYTES = 100 << 10 };
    unsigned char *small[N];
    (void)state;
    for (uint64_t ns = 1000; ns <= 5000; ns += 4000) {
        close_heap(NULL);
        open_where_small_pages_take(ns);
        take(OBJECT);
        for (size_t i = 0; i < N; i++)
            small[i] = memset(take(NBYTES), 1, NBYTES);
        for (size_t i = 0; i < N; i += 2)
            assert_int_equal(heap_free(&heap, small[i]), HEAP_OK);
        os_want_huge_pages(region, REGION_BYTES, true);
        heap_trim(&heap);
        for (size_t i = 2; i < N; i++)
            assert_int_equal(wish[number_of(next_huge_page(small[i]) - HUGE_PAGE_BYTES)], UNWANTED);
    }
}

/* So are those of which slots between objects went back. */
static void test_slots_that_go_back_are_unwanted(void **state)
{
    enum { N = 400, NBYTES = 24 << 10, LEFT = 16 };
    static struct thread thread;
    static unsigned char *slot[N];
    (void)state;
    heap_join(&heap, &thread);
    for (size_t i = 0; i < N; i++) {
        void *object;
        while (!tcache_take(&thread, NBYTES, sizeclass_of(NBYTES), &object, NULL))
            assert_true(heap_refill(&heap, &thread, sizeclass_of(NBYTES)));
        slot[i] = memset(object, 1, NBYTES);
    }
    heap_leave(&heap, &thread);
    for (size_t i = 0; i < N; i++)
        if (i % LEFT != 0)
            assert_int_equal(heap_free(&heap, slot[i]), HEAP_OK);
    heap.has_huge_pages = true;
    os_want_huge_pages(region, REGION_BYTES, true);
    heap_trim(&heap);
    for (size_t i = 2 * LEFT; i < N - LEFT; i++)
        assert_int_equal(wish[number_of(next_huge_page(slot[i]) - HUGE_PAGE_BYTES)], UNWANTED);
}

static void test_small_pages_are_timed_once(void **state)
{
    (void)state;
    small_ns = 4999;
    for (int n = 0; n < 3; n++)
        grow_until_asked(REGION_BYTES);
    assert_int_not_equal(nwanted, 0);
    assert_int_equal(nsmall, 1);
}

/* Makes the heap one that is opened in steps. */
static void open_in_steps(void)
{
    munmap(region, REGION_BYTES);
    assert_true(map_region(PROT_NONE));
    os_allow(region, REGION_FIRST_BYTES);
    os_allow(region + REGION_BYTES - REGION_FIRST_BYTES, REGION_FIRST_BYTES);
    clean = (struct clean){0};
    heap = (struct heap){.chunks.clean = &clean};
    heap_open_locked(&heap, (struct region){region, REGION_BYTES, true, REGION_FIRST_BYTES}, NULL);
    heap.wants_huge_pages = true;
}

/* An object for which just enough is opened leaves nothing of the tail to be timed. */
static void test_small_pages_are_timed_where_they_are_open(void **state)
{
    (void)state;
    open_in_steps();
    take(OBJECT);
    assert_int_equal(nsmall, 0);
    take(OBJECT / 2);
    assert_int_equal(nsmall, 1);
}

/* At the end of the region there are the records. */
static void test_small_pages_are_not_timed_where_records_are(void **state)
{
    (void)state;
    take(REGION_BYTES - OS_PAGES_TIMED * os_page_bytes());
    assert_int_equal(nsmall, 0);
    assert_int_equal(heap_take(&heap, 1, FIT_ANY, &(void *){NULL}), HEAP_OK);
    assert_int_equal(nsmall, 0);
}

static void test_a_heap_that_wants_none_asks_for_none(void **state)
{
    (void)state;
    heap.wants_huge_pages = false;
    grow_until_asked(REGION_BYTES - 4 * MIB);
    assert_int_equal(nwanted, 0);
    assert_null(made);
    assert_int_equal(nsmall, 0);
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
        TEST(test_a_large_heap_asks_ahead),
        TEST(test_slots_ask_ahead),
        TEST(test_growth_while_pages_are_slow),
        TEST(test_growth_goes_on_behind_a_large_object),
        TEST(test_where_small_pages_are_slow),
        TEST(test_what_goes_back_is_unwanted),
        TEST(test_parts_that_go_back_are_unwanted_where_small_pages_are_slow),
        TEST(test_a_part_of_one_that_goes_back_is_unwanted),
        TEST(test_slots_that_go_back_are_unwanted),
        TEST(test_small_pages_are_timed_once),
        TEST(test_small_pages_are_timed_where_they_are_open),
        TEST(test_small_pages_are_not_timed_where_records_are),
        TEST(test_a_heap_that_wants_none_asks_for_none),
        cmocka_unit_test(test_pauses_grow_and_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * trim.c - checks when free pages go back to the system (core/trim.h), with programs whose memory
 * is a few numbers and whose clock is simulated; and in a heap.
 */
#include "unit.h"

#include "core/heap.h"
#include "core/trim.h"

enum { MIB = (1 << 20) / GRANULE_BYTES, HEAP = 48 * MIB, SPARE = 48 * MIB, START_MS = 5000000 };

static struct ledger l;
static struct trim t;
static uint64_t now, ngone;
static unsigned ntrims;

static int open_heap(void **state)
{
    (void)state;
    l = (struct ledger){.live_granules = SPARE + HEAP, .used = SPARE + HEAP};
    now = START_MS;
    t = (struct trim){.gone = now};
    ngone = ntrims = 0;
    return 0;
}

/* Does with the numbers what the ledger does, and then what the heap does. */
static void freed(uint32_t length)
{
    l.live_granules -= length;
    l.least_dirty = least(l.least_dirty, l.ndirty);
    l.ndirty += length;
    if (!trim_decide(&t, &l, SPARE, now))
        return;
    ntrims++;
    ngone += l.ndirty;
    l.ndirty = l.least_dirty = 0;
}

static void taken(uint32_t length)
{
    l.live_granules += length;
    l.ndirty -= least(l.ndirty, length);
}

/* Takes memory that is not dirty, as a program does whose holes do not fit. */
static void taken_new(uint32_t length)
{
    l.live_granules += length;
    if (!trim_is_peak(&t, &l))
        return;
    if (trim_decide_at_peak(&t, &l, SPARE, now)) {
        ntrims++;
        ngone += l.ndirty;
        l.ndirty = l.least_dirty = 0;
    }
    uint64_t held = (uint64_t)l.live_granules + l.ndirty;
    t.peak = held > t.peak ? held : t.peak;
}

/* Frees and takes again `length` every millisecond. */
static void work(uint32_t length, unsigned ms)
{
    for (uint64_t end = now + ms; now < end; now++) {
        for (uint32_t i = 0; i < length; i += MIB)
            freed(MIB);
        taken(length);
    }
}

static void test_what_is_wanted_again_stays(void **state)
{
    (void)state;
    work(HEAP / 2, 10000);
    assert_int_equal(ntrims, 0);
}

static void test_what_stays_free_goes(void **state)
{
    (void)state;
    work(HEAP / 2, 1000);
    for (int i = 0; i < HEAP / 2; i += MIB)
        freed(MIB);
    assert_int_equal(ntrims, 0);
    work(MIB, 200);
    assert_int_equal(ntrims, 0);
    work(MIB, 500);
    assert_int_equal(ntrims, 1);
    assert_in_range(ngone, HEAP / 2, HEAP / 2 + MIB);
}

static void test_a_little_stays(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < HEAP / 8; i += MIB)
        freed(MIB);
    work(MIB, 10000);
    assert_int_equal(ntrims, 0);
}

/* Enough to go is a quarter of what is live, and a 32nd of what was in use: here about 10.5 MiB. */
static void test_how_much_has_to_stay_free(void **state)
{
    for (uint32_t nfree = 10 * MIB; nfree <= 12 * MIB; nfree += 2 * MIB) {
        open_heap(state);
        freed(nfree);
        work(MIB, 1000);
        assert_int_equal(ntrims, nfree == 12 * MIB);
    }
}

/* No call comes after the last free that could trim. */
static void test_a_program_that_falls_is_small_at_once(void **state)
{
    (void)state;
    work(HEAP / 2, 1000);
    while (l.live_granules > SPARE)
        freed(MIB / 16);
    assert_in_range(l.ndirty, 0, HEAP / 16);
    assert_in_range(ntrims, 1, 8);
}

/* A program is small when it has less than an eighth of what it had. */
static void test_how_far_a_program_falls(void **state)
{
    enum { STEP = MIB / 16 };
    (void)state;
    while (ntrims == 0)
        freed(STEP);
    assert_in_range(l.live_granules - SPARE, HEAP / 8 - STEP, HEAP / 8 - 1);
}

/* A large program that has trimmed again and again for some time still gets memory back at once. */
static void test_there_is_credit_for_a_fall(void **state)
{
    enum { LARGE = 1024 * MIB };
    (void)state;
    l.live_granules = l.used = SPARE + LARGE;
    for (int i = 0; i < 20; i++) {
        freed(LARGE / 8 * 3);
        work(MIB, 510);
        taken(LARGE / 8 * 3);
    }
    assert_in_range(ntrims, 5, 20);
    while (l.live_granules > SPARE)
        freed(MIB);
    assert_in_range(l.ndirty, 0, LARGE / 16);
}

static void test_very_much_goes_at_once(void **state)
{
    enum { MANY = 16, A_WHILE_AGO = 10000 };
    (void)state;
    l.live_granules = l.used = SPARE + MANY * HEAP;
    now += A_WHILE_AGO; /* since the heap was opened */
    freed(MANY * HEAP / 2);
    assert_int_equal(ntrims, 0);
    freed(2 * HEAP);
    assert_int_equal(ntrims, 1);
}

/* A program that has just begun keeps as much until time has paid for the faults, and keeps what
 * is freed just after pages went. */
static void test_very_much_has_to_be_paid_for(void **state)
{
    enum {
        MANY = 16,
        A_MILLISECOND = 256 << 10,
        PAID = MANY / 8 * 5 * HEAP / (A_MILLISECOND / 16)
    };
    (void)state;
    l.live_granules = l.used = SPARE + MANY * HEAP;
    freed(MANY / 8 * 5 * HEAP);
    assert_int_equal(ntrims, 0);
    now += PAID - 1;
    l.least_dirty = 0; /* TR1 is not what gives it back */
    freed(0);
    assert_int_equal(ntrims, 0);
    now += 1;
    freed(0);
    assert_int_equal(ntrims, 1);
    taken(MANY / 8 * 5 * HEAP);
    freed(MANY / 8 * 5 * HEAP);
    assert_int_equal(ntrims, 1);
}

/* The worst case for TR2: everything is freed and is wanted again at once. */
static void test_falls_are_bounded(void **state)
{
    enum { SECONDS = 10 };
    (void)state;
    work(HEAP, SECONDS * 1000);
    assert_in_range(ngone, (uint64_t)HEAP * SECONDS, (uint64_t)HEAP * (SECONDS + 4));
}

/* The worst case for TR1: as much stays free as TR2 just leaves alone, and is wanted again after
 * TR1 gave it back. */
static void test_faults_are_bounded(void **state)
{
    enum { LARGE = 1024 * MIB, SECONDS = 20 };
    (void)state;
    l.used = SPARE + LARGE;
    for (uint64_t end = now + SECONDS * 1000; now < end; now++) {
        l.live_granules = SPARE + LARGE / 2;
        l.ndirty = LARGE / 2 - MIB;
        freed(MIB);
    }
    uint64_t most = (uint64_t)256 * MIB * SECONDS;
    assert_in_range(ngone, most / 2, most);
}

/* Each buffer is replaced by one from new memory, in twice the time that pays for it. Only the
 * first is not paid for yet, and adds to the peak. */
static void test_the_peak_does_not_grow(void **state)
{
    enum { BUFFER = 4 * MIB, PAUSE = 2 * BUFFER / (256 << 10) * GRANULE_BYTES };
    (void)state;
    taken_new(0);
    for (int i = 0; i < 1000; i++, now += PAUSE) {
        freed(BUFFER);
        taken_new(BUFFER);
    }
    assert_in_range(ntrims, 400, 1000);
    assert_in_range(t.peak, SPARE + HEAP, SPARE + HEAP + BUFFER);
}

/* A program that replaces 4 MiB in each millisecond would pay for 4 GiB of faults in a second. What
 * goes has to be paid for first, so that the peak grows, and the faults are bounded. */
static void test_the_peak_grows_where_faults_cost_too_much(void **state)
{
    enum { BUFFER = 4 * MIB, A_SECOND = 1000 };
    (void)state;
    for (uint64_t end = now + A_SECOND; now < end; now++) {
        l.live_granules = SPARE + HEAP - BUFFER;
        l.ndirty = l.ndirty + BUFFER < HEAP ? l.ndirty + BUFFER : HEAP;
        taken_new(BUFFER);
        t.peak = 0; /* so that each buffer is beyond it */
    }
    assert_in_range(ngone, 100 * MIB, 256 * MIB + HEAP);
}

/* The clock stands still, and then jumps by a year. */
static void test_clocks(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        freed(HEAP);
        taken(HEAP);
    }
    assert_int_equal(ntrims, 4);
    now += (uint64_t)365 * 24 * 3600 * 1000;
    for (int i = 0; i < 1000; i++) {
        freed(HEAP);
        taken(HEAP);
    }
    assert_int_equal(ntrims, 7);
}

/* A clock that goes back pays for nothing. */
static void test_a_clock_that_goes_back(void **state)
{
    (void)state;
    l.ndirty = HEAP;
    for (int i = 1; i < 100; i++) {
        now -= (uint64_t)i;
        t.peak = 0;
        taken_new(MIB);
    }
    assert_int_equal(ntrims, 0);
    now += 1000000;
    t.peak = 0;
    taken_new(MIB);
    assert_int_equal(ntrims, 1);
}

/* Time is counted from when a heap is opened. Half a gigabyte has to be paid for with more
 * than a second. */
static void test_a_heap_that_was_just_opened(void **state)
{
    enum { N = 5, OBJECT = 128 << 20, KEPT = 1 };
    static struct heap heap;
    static struct clean clean;
    const size_t nbytes = (size_t)(N + 1) * OBJECT;
    void *object[N];
    (void)state;
    unsigned char *region = mmap(NULL, nbytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(region != MAP_FAILED);
    heap = (struct heap){.chunks.clean = &clean};
    heap_open_locked(&heap, (struct region){region, nbytes, true, 0}, NULL);
    for (int i = 0; i < N; i++)
        assert_int_equal(heap_take(&heap, OBJECT, FIT_ANY, &object[i]), HEAP_OK);
    for (int i = KEPT; i < N; i++)
        assert_int_equal(heap_free(&heap, object[i]), HEAP_OK);
    assert_int_equal(heap.chunks.ledger.ndirty, (N - KEPT) * (OBJECT / GRANULE_BYTES));
    assert_int_equal(munmap(region, nbytes), 0);
}

#define TEST(name) cmocka_unit_test_setup(name, open_heap)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_wanted_again_stays),
        TEST(test_what_stays_free_goes),
        TEST(test_a_little_stays),
        TEST(test_how_much_has_to_stay_free),
        TEST(test_a_program_that_falls_is_small_at_once),
        TEST(test_how_far_a_program_falls),
        TEST(test_there_is_credit_for_a_fall),
        TEST(test_very_much_goes_at_once),
        TEST(test_very_much_has_to_be_paid_for),
        TEST(test_falls_are_bounded),
        TEST(test_faults_are_bounded),
        TEST(test_the_peak_does_not_grow),
        TEST(test_the_peak_grows_where_faults_cost_too_much),
        TEST(test_clocks),
        TEST(test_a_clock_that_goes_back),
        cmocka_unit_test(test_a_heap_that_was_just_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * os.c - checks the clock that needs no system call, and the address that stands for a thread
 * (base/os.h).
 */
#include "unit.h"

#include <pthread.h>
#include <time.h>

#include "base/os.h"

static uint64_t real_milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* The bounds are wider than what os.h promises, since the test may not run for a while between two
 * looks. */
static void test_the_clock_keeps_the_pace(void **state)
{
    enum { WHILE = 200, FACTOR = 3 };
    (void)state;
    struct os_clock clock = {0};
    uint64_t from = os_milliseconds(&clock), real_from = real_milliseconds(), last = from;
    while (real_milliseconds() - real_from < WHILE) {
        uint64_t now = os_milliseconds(&clock);
        assert_true(now >= last);
        last = now;
    }
    uint64_t elapsed = os_milliseconds(&clock) - from, real = real_milliseconds() - real_from;
    assert_in_range(elapsed, WHILE / FACTOR, real * FACTOR);
}

/* A counter that begins anew, or another processor's, which is behind. */
static void test_the_clock_never_goes_back(void **state)
{
    (void)state;
    struct os_clock clock = {0};
    uint64_t before = os_milliseconds(&clock);
    clock.looked += (uint64_t)1 << 50;
    assert_int_equal(os_milliseconds(&clock), before);
    assert_in_range(os_milliseconds(&clock), before, before + 60000);
}

static void *thread_pointer(void *other)
{
    *(const void **)other = os_thread_pointer();
    return NULL;
}

static void test_each_thread_has_an_address(void **state)
{
    (void)state;
    pthread_t thread;
    const void *mine = os_thread_pointer(), *other = NULL;
    assert_int_equal(pthread_create(&thread, NULL, thread_pointer, (void *)&other), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_non_null(mine);
    assert_non_null(other);
    assert_ptr_not_equal(mine, other);
    assert_ptr_equal(os_thread_pointer(), mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_clock_keeps_the_pace),
        cmocka_unit_test(test_the_clock_never_goes_back),
        cmocka_unit_test(test_each_thread_has_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

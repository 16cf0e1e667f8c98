/* SPDX-License-Identifier: MIT
 *
 * lock.c - checks the lock: one thread has it at a time, each thread gets it, and none sleeps on
 * (base/lock.h).
 */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/os.h"

enum { NTHREADS = 8, NTURNS = 20000 };

static struct lock lock;
static long turns; /* guarded by lock */
static bool inside, was_shared;

static void test_states(void **state)
{
    (void)state;
    struct lock l = {0};
    assert_false(lock_is_taken(&l));
    assert_true(lock_try(&l));
    assert_true(lock_is_taken(&l));
    assert_false(lock_try(&l));
    lock_release(&l);
    assert_false(lock_is_taken(&l));
    lock_take(&l);
    assert_false(lock_try(&l));
    lock_release(&l);
    assert_int_equal(l.state, LOCK_FREE);
}

/* Every now and then the holder lets others run, so that they come while the lock is taken. */
static void *take_turns(void *unused)
{
    for (int i = 0; i < NTURNS; i++) {
        if (i % 3 != 0 || !lock_try(&lock))
            lock_take(&lock);
        was_shared = was_shared || inside;
        inside = true;
        turns++;
        if (i % 64 == 0)
            sched_yield();
        inside = false;
        lock_release(&lock);
    }
    return unused;
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    pthread_t thread[NTHREADS];
    for (int i = 0; i < NTHREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, take_turns, NULL), 0);
    for (int i = 0; i < NTHREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(turns, NTHREADS * NTURNS);
    assert_false(was_shared);
    assert_int_equal(lock.state, LOCK_FREE);
}

static void *take_once(void *unused)
{
    lock_take(&lock);
    lock_release(&lock);
    return unused;
}

/* All fall asleep before the lock is released once: each that wakes up must wake the next. */
static void test_all_sleepers_wake(void **state)
{
    (void)state;
    pthread_t thread[NTHREADS];
    lock_take(&lock);
    for (int i = 0; i < NTHREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, take_once, NULL), 0);
    while (__atomic_load_n(&lock.state, __ATOMIC_RELAXED) != LOCK_WAITED_FOR)
        sched_yield();
    for (unsigned n = 0; n < 300; n++) /* about as long as it takes for the others, too */
        os_pause(n);
    lock_release(&lock);
    for (int i = 0; i < NTHREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(lock.state, LOCK_FREE);
}

/* The word is another one already: a thread that would sleep now might not be woken. */
static void test_a_wait_that_comes_too_late(void **state)
{
    (void)state;
    uint32_t word = LOCK_TAKEN;
    os_wait(&word, LOCK_WAITED_FOR);
    os_wake(&word); /* no thread sleeps there */
    assert_int_equal(word, LOCK_TAKEN);
}

int main(void)
{
    alarm(PATIENCE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_all_sleepers_wake),
        cmocka_unit_test(test_a_wait_that_comes_too_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

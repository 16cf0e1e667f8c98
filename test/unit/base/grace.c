/* SPDX-License-Identifier: MIT
 *
 * grace.c - checks that memory which is taken away from readers is reused only when each of them
 * has left (base/grace.h).
 */
#include "unit.h"

#include <pthread.h>

#include "base/grace.h"

enum { NREADERS = 3, NCHANGES = 2000, BUSY = 4, IDLE = 8 };

static struct reading {
    uint32_t word;
    uint64_t nreads, nwrong;
    _Alignas(64) char end[];
} reader[NREADERS];
static int place[2]; /* 1 while it may be read; the other one is 0 */
static int *published;
static bool done;

static void *read_on(void *own)
{
    struct reading *r = own;
    while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
        grace_enter(&r->word, BUSY | IDLE);
        const int *p = __atomic_load_n(&published, __ATOMIC_ACQUIRE);
        for (int i = 0; p != NULL && i < 20; i++)
            r->nwrong += __atomic_load_n(p, __ATOMIC_RELAXED) != 1;
        grace_leave(&r->word, IDLE);
        __atomic_fetch_add(&r->nreads, p != NULL, __ATOMIC_RELAXED);
    }
    return NULL;
}

static bool have_all_read(void)
{
    for (int i = 0; i < NREADERS; i++)
        if (__atomic_load_n(&reader[i].nreads, __ATOMIC_RELAXED) < 100)
            return false;
    return true;
}

static void test_memory_outlives_its_readers(void **state)
{
    (void)state;
    pthread_t thread[NREADERS];
    if (!grace_open())
        skip();
    for (int i = 0; i < NREADERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, read_on, &reader[i]), 0);
    for (int n = 0; n < NCHANGES || !have_all_read(); n++) {
        int *here = &place[n % 2];
        __atomic_store_n(here, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&published, here, __ATOMIC_RELEASE);
        if (n % 50 == 0)
            sched_yield();
        __atomic_store_n(&published, NULL, __ATOMIC_RELEASE);
        assert_true(grace_barrier());
        for (int i = 0; i < NREADERS; i++)
            grace_wait(&reader[i].word, BUSY);
        __atomic_store_n(here, 0, __ATOMIC_RELAXED); /* it is something else from now on */
    }
    __atomic_store_n(&done, true, __ATOMIC_RELAXED);
    for (int i = 0; i < NREADERS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(reader[i].nwrong, 0);
    }
}

static void test_a_word(void **state)
{
    (void)state;
    uint32_t word = IDLE;
    assert_true(grace_has_left(&word, BUSY));
    grace_enter(&word, BUSY | IDLE);
    assert_false(grace_has_left(&word, BUSY));
    grace_leave(&word, IDLE);
    assert_true(grace_has_left(&word, BUSY));
    assert_int_equal(word, IDLE);
    grace_wait(&word, BUSY); /* returns at once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_word),
        cmocka_unit_test(test_memory_outlives_its_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

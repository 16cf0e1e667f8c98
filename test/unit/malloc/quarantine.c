/* SPDX-License-Identifier: MIT
 *
 * quarantine.c - checks the quarantine (malloc/quarantine.h) against a list: the oldest goes first,
 * and it is full when QA1 says so.
 */
#include "unit.h"

#include "malloc/quarantine.h"

static char memory[1 << 20];

static void test_first_in_first_out(void **state)
{
    enum { N = 100000, MOST = 64 << 10 };
    static size_t size[N];
    struct quarantine q = {0};
    struct held held;
    uint64_t dice = 9;
    size_t oldest = 0, nbytes = 0;
    (void)state;
    assert_false(quarantine_oldest(&q, &held));
    assert_true(quarantine_open(&q, MOST));
    for (size_t i = 0; i < N; i++) {
        size[i] = 16 + rnd(&dice, i % 500 == 0 ? 3 * MOST : 2000);
        quarantine_push(&q, (struct held){memory + i, size[i]}, size[i]);
        nbytes += size[i];
        while (quarantine_is_full(&q)) {
            assert_true(quarantine_oldest(&q, &held));
            assert_ptr_equal(held.start, memory + oldest);
            assert_int_equal(held.size, size[oldest]);
            quarantine_pop(&q, size[oldest]);
            nbytes -= size[oldest++];
        }
        assert_true(oldest <= i);                   /* the last one stays [QA1] */
        assert_true(nbytes <= MOST || oldest == i); /* and no more than it should [QA1] */
        assert_true(oldest == 0 || nbytes + size[oldest - 1] > MOST || q.n == q.nplaces - 1);
    }
}

/* Objects of a granule fill the places before the bytes. */
static void test_places(void **state)
{
    enum { MOST = 64 << 10 };
    struct quarantine q = {0};
    (void)state;
    assert_true(quarantine_open(&q, MOST));
    for (size_t i = 0; i < 5000; i++) {
        quarantine_push(&q, (struct held){memory + i, 16}, 16);
        while (quarantine_is_full(&q))
            quarantine_pop(&q, 16);
        assert_true(q.n < q.nplaces);
    }
    assert_int_equal(q.n, q.nplaces - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_in_first_out),
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

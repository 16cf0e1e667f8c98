/* SPDX-License-Identifier: MIT
 *
 * state.c - checks the states of a span (slots/state.h): slack near and far, and the searches over
 * all states, against loops that look at one state after the other.
 */
#include "unit.h"

#include "slots/state.h"

enum { NSLOTS_MAX = 300, ROUNDS = 300 };

/* Fills the states of nslots slots at random, from nearly all free to nearly all taken. */
static void fill(unsigned char *states, uint32_t nslots, uint64_t *dice)
{
    uint32_t percent = rnd(dice, 101);
    memset(states, 0, state_array_bytes(NSLOTS_MAX, ALL_NEAR_MAX));
    for (uint32_t i = 0; i < nslots; i++)
        if (rnd(dice, 100) < percent)
            state_make_object(states, nslots, i, rnd(dice, SLACK_NEAR_MAX + 1));
}

static uint32_t count_slowly(const unsigned char *states, uint32_t nslots)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < nslots; i++)
        n += states[i] == 0;
    return n;
}

static uint32_t find_slowly(const unsigned char *states, uint32_t nslots, uint32_t from)
{
    while (from < nslots && states[from] != 0)
        from++;
    return from;
}

static uint32_t find_run_slowly(const unsigned char *states, uint32_t nslots, uint32_t n)
{
    for (uint32_t first = 0; first + n <= nslots; first++) {
        uint32_t k = 0;
        while (k < n && states[first + k] == 0)
            k++;
        if (k == n)
            return first;
    }
    return nslots;
}

static void test_searches(void **state)
{
    (void)state;
    static _Alignas(64) unsigned char states[512];
    uint64_t dice = 3;
    uint32_t nfound = 0, nfull = 0;
    assert_true(state_array_bytes(NSLOTS_MAX, ALL_NEAR_MAX) <= sizeof states);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t nslots = 1 + rnd(&dice, NSLOTS_MAX);
        fill(states, nslots, &dice);
        if (round % 2 == 0 && nslots > 128)
            memset(states + 64, 1, 64); /* these are left out at once */
        assert_int_equal(states_count_free(states, nslots), count_slowly(states, nslots));
        for (uint32_t from = 0; from <= nslots; from++) {
            uint32_t first = states_first_free(states, nslots, from);
            assert_int_equal(first, find_slowly(states, nslots, from));
            nfound += first < nslots;
            nfull += first == nslots;
        }
        for (uint32_t n = 1; n <= nslots; n++)
            assert_int_equal(states_first_run(states, nslots, n),
                             find_run_slowly(states, nslots, n));
    }
    assert_true(nfound > 1000 && nfull > 1000);
}

/* Every slack comes back, and the slots around it keep theirs. */
static void test_each_slack(void **state)
{
    (void)state;
    enum { NSLOTS = 5, NEAR = 16, FAR = 8192 };
    static _Alignas(64) unsigned char states[256];
    for (uint32_t slot_bytes = NEAR; slot_bytes <= FAR; slot_bytes *= FAR / NEAR) {
        assert_true(state_array_bytes(NSLOTS, slot_bytes) <= sizeof states);
        for (uint32_t slack = 0; slack <= slack_max(slot_bytes); slack++) {
            memset(states, 0, sizeof states);
            state_make_object(states, NSLOTS, 1, 7);
            state_make_object(states, NSLOTS, 2, slack);
            state_make_object(states, NSLOTS, 3, slack_max(slot_bytes));
            assert_int_equal(state_slack(states, NSLOTS, 2), slack);
            assert_int_equal(state_is_far(states[2]), slack > SLACK_NEAR_MAX);
            assert_int_equal(state_slack(states, NSLOTS, 1), 7);
            assert_int_equal(state_slack(states, NSLOTS, 3), slack_max(slot_bytes));
            assert_int_equal(states[0] | states[4] | states[NSLOTS], 0); /* ST3 */
        }
    }
}

/* A resize changes an object, and never makes a free slot one. */
static void test_resize(void **state)
{
    (void)state;
    enum { NSLOTS = 3 };
    static _Alignas(64) unsigned char states[64];
    const uint32_t slack[] = {0, 1, SLACK_NEAR_MAX, SLACK_NEAR_MAX + 1, 4000, 5, 5};
    memset(states, 0, sizeof states);
    assert_false(state_resize_object(states, NSLOTS, 1, 9));
    assert_int_equal(states[1], 0);
    state_make_object(states, NSLOTS, 1, 30);
    for (size_t i = 0; i < sizeof slack / sizeof slack[0]; i++) {
        assert_true(state_resize_object(states, NSLOTS, 1, slack[i]));
        assert_int_equal(state_slack(states, NSLOTS, 1), slack[i]);
    }
    state_clear(states, 1);
    assert_int_equal(state_slack(states, NSLOTS, 1), 0);
    assert_false(state_resize_object(states, NSLOTS, 1, 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_searches),
        cmocka_unit_test(test_each_slack),
        cmocka_unit_test(test_resize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

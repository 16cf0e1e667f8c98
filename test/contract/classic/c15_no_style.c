/* SPDX-License-Identifier: MIT
 *
 * c15_no_style.c - C15: checks that a call without a style never costs much more than one with
 * BESTFIT, where an object of its size comes and goes alone.
 *
 * The promise is 1.2 times, which test/instructions.sh checks. On a busy machine a clock cannot
 * tell that, so this asks for less than twice, by the least of many short runs. (Where each such
 * object made a span, it was five times.)
 */
#include "contract.h"

#include <time.h>

enum { NPAIRS = 2000, NRUNS = 40 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* does not count while other programs run */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The least time of a run of pairs of Mem_Alloc and Mem_Free, without a style and with one. */
static void time_pairs(int size, double least[2])
{
    least[0] = least[1] = 1e9;
    for (int run = 0; run < 2 * NRUNS; run++) {
        double began = now();
        for (int i = 0; i < NPAIRS; i++) {
            void *p = run % 2 == 0 ? Mem_Alloc(size) : Mem_Alloc(size, BESTFIT);
            assert_int_equal(Mem_Free(p), 0);
        }
        double took = now() - began;
        if (took < least[run % 2]) {
            least[run % 2] = took;
        }
    }
}

static void test_c15_an_object_alone(void **state)
{
    (void)state;
    static const int sizes[] = {4, 100, 1000, 8000};
    void *other[200];
    assert_int_equal(Mem_Init(64 << 20), 0);
    for (int live = 0; live < 2; live++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            double least[2];
            time_pairs(sizes[i], least);
            assert_true(least[0] < 2 * least[1]);
        }
        for (int i = 0; i < 200; i++) { /* then once more, between chunks */
            other[i] = Mem_Alloc(3000, BESTFIT);
        }
        for (int i = 0; i < 200; i += 2) {
            assert_int_equal(Mem_Free(other[i]), 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_c15_an_object_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

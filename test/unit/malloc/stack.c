/* SPDX-License-Identifier: MIT
 *
 * stack.c - checks that two stacks are equal if they were taken at one place, and have another hash
 * if they were not (malloc/stack.h).
 *
 * The code of this program counts as the library's own, so that only frames of libc are seen.
 */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "malloc/stack.h"

static struct stack taken;

static int compare(const void *a, const void *b)
{
    stack_take(&taken);
    return *(const int *)a - *(const int *)b;
}

static void sort(void)
{
    int numbers[] = {2, 1};
    qsort(numbers, 2, sizeof *numbers, compare);
}

static void assert_equal_stacks(const struct stack *a, const struct stack *b)
{
    assert_int_equal(a->nframes, b->nframes);
    assert_int_equal(a->hash, b->hash);
    assert_memory_equal(a->frame, b->frame, a->nframes * sizeof a->frame[0]);
}

static void test_hashes(void **state)
{
    (void)state;
    struct stack direct[2], sorted[2];
    for (int i = 0; i < 2; i++) {
        stack_take(&direct[i]);
        sort();
        sorted[i] = taken;
    }
    if (direct[0].nframes == 0)
        skip(); /* nothing says how frames are found here */
    assert_equal_stacks(&direct[0], &direct[1]);
    assert_equal_stacks(&sorted[0], &sorted[1]);
    assert_true(sorted[0].nframes > direct[0].nframes); /* qsort is in between */
    assert_int_not_equal(sorted[0].hash, direct[0].hash);
    uint32_t n = direct[0].nframes, behind = sorted[0].nframes - n;
    assert_memory_equal(direct[0].frame, sorted[0].frame + behind, n * sizeof(uintptr_t));
}

static void *take(void *nothing)
{
    stack_take(&taken);
    return nothing;
}

/* Another thread has another stack. */
static void test_threads(void **state)
{
    (void)state;
    pthread_t thread;
    struct stack mine;
    stack_take(&mine);
    if (mine.nframes == 0)
        skip();
    assert_int_equal(pthread_create(&thread, NULL, take, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(taken.nframes > 0);
    assert_int_not_equal(taken.hash, mine.hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

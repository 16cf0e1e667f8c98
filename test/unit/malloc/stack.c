/* SPDX-License-Identifier: MIT
 *
 * stack.c - checks that two stacks are equal if they were taken at one place, and have another hash
 * if they were not; and that a wrong rule about a frame leads nowhere (malloc/stack.h).
 *
 * The code of this program counts as the library's own, so that only frames of libc are seen.
 */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "malloc/cfi.h"
#include "malloc/module.h"
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

/* --- wrong rules -------------------------------------------------------------------- */

bool __real_cfi_rule(uintptr_t address, struct rule *r);
bool __wrap_cfi_rule(uintptr_t address, struct rule *r);

/* What the rule of the innermost function becomes, and how often a rule was asked for. */
static void (*spoil)(struct rule *r);
static int nasked;

bool __wrap_cfi_rule(uintptr_t address, struct rule *r)
{
    bool known = __real_cfi_rule(address, r);
    if (nasked++ == 0 && spoil != NULL)
        spoil(r);
    return known;
}

static void below_sp(struct rule *r)
{
    *r = (struct rule){.base = FRAME_BY_SP, .offset_bits = (1u << 28) - 64, .ra_at = -1};
}

static void within_a_word(struct rule *r)
{
    *r = (struct rule){.base = FRAME_BY_SP, .offset_bits = 132, .ra_at = -1};
}

static void beyond_the_stack(struct rule *r)
{
    *r = (struct rule){.base = FRAME_BY_SP, .offset_bits = 1u << 26, .ra_at = -1};
}

static void address_below_sp(struct rule *r)
{
    r->ra_at = INT16_MIN;
}

static void frame_pointer_below_sp(struct rule *r)
{
    r->fp_at = INT16_MIN;
}

static void word_within_a_word(struct rule *r)
{
    *r = (struct rule){.base = FRAME_AT_FP, .offset_bits = 1, .ra_at = -1};
}

static void word_below_sp(struct rule *r)
{
    *r = (struct rule){.base = FRAME_AT_FP, .offset_bits = 1u << 27, .ra_at = -1};
}

static void word_beyond_the_stack(struct rule *r)
{
    *r = (struct rule){.base = FRAME_AT_FP, .offset_bits = 1u << 26, .ra_at = -1};
}

static void outermost(struct rule *r)
{
    r->base = FRAME_OUTERMOST;
}

static void unknown(struct rule *r)
{
    r->base = FRAME_UNKNOWN;
}

/* In a process of its own, since rules are kept; and in a second thread, of whose stack the end is
 * known. */
static uint32_t nframes_with(void (*wrong)(struct rule *r), bool may_ask)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        spoil = wrong;
        if (!may_ask)
            module_stop();
        taken.nframes = 99;
        if (pthread_create(&thread, NULL, take, NULL) != 0 || pthread_join(thread, NULL) != 0)
            _exit(98);
        _exit((int)taken.nframes);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return (uint32_t)WEXITSTATUS(status);
}

/* This comes first, before rules are kept. */
static void test_wrong_rules(void **state)
{
    (void)state;
    if (nframes_with(NULL, true) == 0)
        skip(); /* nothing says how frames are found here */
    void (*const wrong[])(
        struct rule *) = {below_sp, within_a_word,      beyond_the_stack, address_below_sp,
                          unknown,  word_within_a_word, word_below_sp,    word_beyond_the_stack,
                          outermost};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(nframes_with(wrong[i], true), 0);
    assert_int_equal(nframes_with(frame_pointer_below_sp, true), 0);
    assert_int_equal(nframes_with(NULL, false), 0); /* the question cannot be asked now */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_rules),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

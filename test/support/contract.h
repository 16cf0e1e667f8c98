/* SPDX-License-Identifier: MIT
 *
 * contract.h - the harness of the tests of the promises C1 to C14.
 *
 * Each test runs in a process of its own: it begins without a heap, and a test that crashes,
 * hangs or exits fails without taking the others with it.
 *
 *     int main(void)
 *     {
 *         const struct CMUnitTest tests[] = {
 *             ALONE("C4 free of one past the end is refused", one_past_the_end),
 *         };
 *         return cmocka_run_group_tests(tests, NULL, NULL);
 *     }
 */
#ifndef CONTRACT_H
#define CONTRACT_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "observe.h"
#include "patience.h"

#include <limits.h>
#include <sys/wait.h>

#define CHILD_SKIPS 77

/* For functions such as a test's own mmap, which a sanitizer's runtime calls before instrumented
 * functions can run. */
#define CALLED_EARLY __attribute__((no_sanitize("address"), no_sanitize("thread")))

struct alone {
    const char *name;
    void (*body)(void);
    long number;
};

/* The number that ALONE_WITH was given. It is set before the body of the test runs. */
static long the_number;

#define ALONE_WITH(text, body, number)                                                             \
    {                                                                                              \
        text, run_alone, NULL, NULL, &(struct alone)                                               \
        {                                                                                          \
            text, body, number                                                                     \
        }                                                                                          \
    }
#define ALONE(text, body) ALONE_WITH(text, body, 0)

static inline void run_body(void **state)
{
    const struct alone *test = *state;
    the_number = test->number;
    test->body();
}

/* Runs the test as a group of one inside the child process. A failed assertion jumps to the
 * innermost runner; if that were the parent's, the child would go on with the parent's other
 * tests. */
static inline void be_the_child(struct alone *test, int log)
{
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    alarm(PATIENCE);
    const struct CMUnitTest one[] = {{test->name, run_body, NULL, NULL, test}};
    exit(cmocka_run_group_tests_name("in a process of its own", one, NULL, NULL) != 0);
}

/* Prints the child's output as comments, so that its results are not counted twice. */
static inline void relay(int log)
{
    lseek(log, 0, SEEK_SET);
    FILE *text = fdopen(log, "r");
    char line[512];
    while (text != NULL && fgets(line, sizeof(line), text) != NULL) {
        printf("# %s%s", line, strchr(line, '\n') ? "" : "\n");
    }
    fflush(stdout);
}

static inline void run_alone(void **state)
{
    int status = 0;
    int log = memfd_create("log", 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        be_the_child(*state, log);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_SKIPS) {
        skip();
    }
    if (status != 0) {
        relay(log);
        fail_msg("the process of the test ended with wait status 0x%x", (unsigned)status);
    }
    close(log);
}

/* Opens a heap of 4,096 bytes for tests of figures that hold for one page of that size. Skips the
 * test on a machine with other pages. */
static inline void open_4096(void)
{
    if (sysconf(_SC_PAGESIZE) != 4096) {
        _exit(CHILD_SKIPS);
    }
    open_heap(4096);
}

/* Sets both error variables to a value that no call of the library stores in them. */
static inline void clear_errors(void)
{
    m_error = 0;
    errno = 0;
}

static inline void assert_errors(int expected_m_error, int expected_errno)
{
    assert_int_equal(errno, expected_errno);
    assert_int_equal(m_error, expected_m_error);
}

/* Asserts that Mem_Free refuses ptr [C4] and that the heap is unchanged. */
static inline void assert_free_refused(void *ptr)
{
    char *before = picture();
    clear_errors();
    assert_int_equal(Mem_Free(ptr), -1);
    assert_errors(E_BAD_POINTER, EINVAL);
    assert_true(same_picture(before));
}

static inline void shuffle(unsigned char **items, int nitems, unsigned *seed)
{
    for (int i = nitems - 1; i > 0; i--) {
        int j = random_below(seed, i + 1);
        unsigned char *item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}

/* Frees every object of the table in random order. */
static inline void give_all(unsigned *seed)
{
    while (nobjects > 0) {
        give(objects[random_below(seed, nobjects)].start);
    }
}

#endif

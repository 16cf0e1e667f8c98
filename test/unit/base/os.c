/* SPDX-License-Identifier: MIT
 *
 * os.c - checks the clock that needs no system call, the address that stands for a thread, what is
 * resident, and a write that is interrupted (base/os.h).
 */
#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

/* Two pages of three are written to. Where nothing is mapped, the system does not tell. */
static void test_what_is_resident(void **state)
{
    (void)state;
    size_t page = os_page_bytes();
    unsigned char *p = os_map(5000 * page); /* more than is asked about at once */
    assert_non_null(p);
    madvise(p, 5000 * page, MADV_NOHUGEPAGE);
    assert_int_equal(os_resident_bytes(p, 5000 * page), 0);
    p[0] = p[4999 * page] = 1;
    assert_int_equal(os_resident_bytes(p, 5000 * page), 2 * page);
    assert_int_equal(os_resident_bytes(p, 4999 * page), page);
    os_unmap(p, 5000 * page);
    assert_int_equal(os_resident_bytes(p, 5000 * page), 5000 * page);
}

enum { PIPE_BYTES = 4096, MORE = 3 * PIPE_BYTES };

static int pipe_ends[2];
static pthread_t writer;
static _Atomic int ninterrupted;

static void note_signal(int number)
{
    (void)number;
    ninterrupted++;
}

/* Interrupts the write, which waits for room in the pipe, and then reads all. */
static void *interrupt_and_read(void *text)
{
    size_t n = 0;
    while (ninterrupted == 0) {
        usleep(10000);
        pthread_kill(writer, SIGUSR1);
        usleep(10000);
    }
    while (n < PIPE_BYTES + MORE) {
        ssize_t part = read(pipe_ends[0], (char *)text + n, PIPE_BYTES + MORE - n);
        if (part <= 0)
            break;
        n += (size_t)part;
    }
    return NULL;
}

static void test_a_write_is_interrupted(void **state)
{
    (void)state;
    static char text[MORE], got[PIPE_BYTES + MORE];
    struct sigaction action = {.sa_handler = note_signal}, before; /* no SA_RESTART */
    pthread_t reader;
    for (size_t i = 0; i < MORE; i++)
        text[i] = (char)('a' + i % 26);
    assert_int_equal(pipe(pipe_ends), 0);
    if (fcntl(pipe_ends[1], F_SETPIPE_SZ, PIPE_BYTES) != PIPE_BYTES) /* pages are larger */
        skip();
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    os_write(pipe_ends[1], text, PIPE_BYTES); /* it is full now */
    writer = pthread_self();
    assert_int_equal(pthread_create(&reader, NULL, interrupt_and_read, got), 0);
    os_write(pipe_ends[1], text, MORE);
    close(pipe_ends[1]);
    assert_int_equal(pthread_join(reader, NULL), 0);
    sigaction(SIGUSR1, &before, NULL);
    assert_true(ninterrupted > 0);
    assert_memory_equal(got, text, PIPE_BYTES);
    assert_memory_equal(got + PIPE_BYTES, text, MORE);
    close(pipe_ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_clock_keeps_the_pace),
        cmocka_unit_test(test_the_clock_never_goes_back),
        cmocka_unit_test(test_each_thread_has_an_address),
        cmocka_unit_test(test_what_is_resident),
        cmocka_unit_test(test_a_write_is_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

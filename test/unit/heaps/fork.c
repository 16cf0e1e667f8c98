/* SPDX-License-Identifier: MIT
 *
 * fork.c - checks for which locks of heaps a fork waits, and how long (heaps/fork.c), and which
 * walk counts as the calling thread's own (heaps/session.h).
 *
 * The test takes a heap's lock itself, as a call at work in another thread does.
 */
#include "unit.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/os.h"
#include "heaps/header.h"
#include "heaps/session.h"
#include "mem_heap.h"

enum { HEAP_BYTES = 1 << 16, SLOW_US = 200000 };

static _Alignas(16) unsigned char memory[2][HEAP_BYTES];

static mem_heap *make(int i, unsigned flags)
{
    struct mem_options options = {.flags = flags};
    mem_heap *m = mem_heap_in(memory[i], HEAP_BYTES, &options);
    assert_non_null(m);
    return m;
}

static bool works(mem_heap *m)
{
    return mem_free(m, mem_alloc(m, 100)) == MEM_OK && mem_check(m, NULL) == MEM_OK;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Forks, and returns whether the heap works in the child, if it is not NULL. */
static bool fork_with(mem_heap *m)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        _exit(m == NULL || works(m) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

/* There is no lock to wait for in a heap of one thread, nor where a heap was written over. */
static void test_heaps_without_a_lock(void **state)
{
    (void)state;
    static unsigned char kept[HEAP_BYTES];
    mem_heap *single = make(0, MEM_SINGLE_THREADED), *lost = make(1, 0);
    memcpy(kept, memory[1], HEAP_BYTES);
    memset(memory[1], 7, HEAP_BYTES);
    assert_true(fork_with(single));
    memcpy(memory[1], kept, HEAP_BYTES);
    assert_true(fork_with(lost));
    assert_int_equal(mem_heap_destroy(single), MEM_OK);
    assert_int_equal(mem_heap_destroy(lost), MEM_OK);
}

static void *release_later(void *m)
{
    usleep(SLOW_US);
    lock_release(header_lock(m));
    return NULL;
}

/* A call is waited for, though it takes longer than a round: then the child's heap is whole. */
static void test_a_slow_call(void **state)
{
    (void)state;
    pthread_t thread;
    mem_heap *m = make(0, 0);
    lock_take(header_lock(m));
    double begin = seconds();
    assert_int_equal(pthread_create(&thread, NULL, release_later, m), 0);
    assert_true(fork_with(m));
    assert_true(seconds() - begin >= SLOW_US / 1e6);
    pthread_join(thread, NULL);
    assert_true(works(m));
    assert_int_equal(mem_heap_destroy(m), MEM_OK);
}

static double waited;

static bool fork_in_a_visit(const struct mem_piece *piece, void *context)
{
    (void)piece, (void)context;
    double begin = seconds();
    *(bool *)context = fork_with(NULL);
    waited = seconds() - begin;
    return false;
}

/* A thread that forks in a visitor may hold the lock itself that is not to be had: so it waits for
 * a while, and not as long as for calls of other threads, which is eight seconds. */
static void test_a_lock_that_may_be_its_own(void **state)
{
    (void)state;
    bool forked = false;
    mem_heap *held = make(0, 0), *walked = make(1, 0); /* the fork asks in this order */
    void *object = mem_alloc(walked, 100);
    assert_non_null(object);
    lock_take(header_lock(held));
    assert_int_equal(mem_walk(walked, fork_in_a_visit, &forked), MEM_OK);
    lock_release(header_lock(held));
    assert_true(forked);
    assert_true(waited > 0.1 && waited < 6);
    assert_true(works(walked) && works(held));
    assert_int_equal(mem_heap_destroy(walked), MEM_OK);
    assert_int_equal(mem_heap_destroy(held), MEM_OK);
}

static bool use_another(const struct mem_piece *piece, void *other)
{
    (void)piece;
    return works(other);
}

/* In the child, the first call in a heap makes its lock anew, also if that call is a visitor's. */
static void test_a_lock_of_the_parent(void **state)
{
    (void)state;
    int status = -1;
    mem_heap *walked = make(0, 0), *other = make(1, 0);
    assert_non_null(mem_alloc(walked, 100));
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        bool was_ours = session_lock_is_ours(other);
        bool good = mem_walk(walked, use_another, other) == MEM_OK;
        _exit(!was_ours && good && session_lock_is_ours(other) && works(other) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(mem_heap_destroy(walked), MEM_OK);
    assert_int_equal(mem_heap_destroy(other), MEM_OK);
}

/* The header may name this thread, though the walk is that of a thread of the parent which had the
 * same address. */
static void test_a_walk_of_another_thread(void **state)
{
    (void)state;
    mem_heap *m = make(0, 0);
    m->walker = os_thread_pointer();
    assert_false(session_is_walking(m));
    m->walker = NULL;
    assert_true(works(m));
    assert_int_equal(mem_heap_destroy(m), MEM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heaps_without_a_lock),
        cmocka_unit_test(test_a_slow_call),
        cmocka_unit_test(test_a_lock_that_may_be_its_own),
        cmocka_unit_test(test_a_lock_of_the_parent),
        cmocka_unit_test(test_a_walk_of_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

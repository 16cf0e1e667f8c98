/* SPDX-License-Identifier: MIT
 *
 * h12_fork.c - H12: checks that a child process can use every heap that threads of its parent were
 * using at the fork, and that processes which share a heap's memory may fork while one uses it.
 *
 *     h12_fork [N [SEED]]     forks N times while threads use heaps, 100 times by default
 */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem_heap.h"

enum { NTHREADS = 8 };

static unsigned long nforks;
static uint64_t dice = 1; /* The next thread's. */
static bool done;

static void *work_on(void *heap)
{
    uint64_t own_dice = __atomic_add_fetch(&dice, 1, __ATOMIC_RELAXED);
    void *p = NULL;
    while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
        mem_free(heap, p);
        p = mem_alloc(heap, 1 + rnd(&own_dice, 2000));
    }
    mem_free(heap, p);
    return NULL;
}

/* In the child process all heaps must be whole and usable, and can be destroyed. */
static int in_child(mem_heap *const heap[NTHREADS])
{
    int nwrong = 0;
    alarm(PATIENCE);
    for (int i = 0; i < NTHREADS; i++) {
        for (int k = 0; k < 100; k++)
            nwrong += mem_free(heap[i], mem_alloc(heap[i], 20 * (size_t)k)) != MEM_OK;
        nwrong += mem_check(heap[i], NULL) != MEM_OK;
        nwrong += mem_heap_destroy(heap[i]) != MEM_OK;
    }
    return nwrong == 0 ? 0 : 1;
}

static void test_forks(void **state)
{
    (void)state;
    pthread_t thread[NTHREADS];
    mem_heap *heap[NTHREADS];
    for (int i = 0; i < NTHREADS; i++) {
        heap[i] = mem_heap_create(i % 2 ? 64 << 10 : 4 << 20, NULL);
        assert_int_equal(pthread_create(&thread[i], NULL, work_on, heap[i]), 0);
    }
    for (unsigned long k = 0; k < nforks * 3 / 5; k++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            _exit(in_child(heap));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    __atomic_store_n(&done, true, __ATOMIC_RELAXED);
    for (int i = 0; i < NTHREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(mem_check(heap[i], NULL), MEM_OK);
        assert_int_equal(mem_heap_destroy(heap[i]), MEM_OK);
    }
}

/* A visitor that waits for the forking thread delays the fork, but not for long. */
static bool is_walking, may_end;

static bool wait_for_fork(const struct mem_piece *piece, void *unused)
{
    (void)piece, (void)unused;
    __atomic_store_n(&is_walking, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&may_end, __ATOMIC_ACQUIRE))
        usleep(1000);
    return false;
}

static void *walk(void *heap)
{
    mem_walk(heap, wait_for_fork, NULL);
    return NULL;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_a_walk_that_waits_for_the_fork(void **state)
{
    (void)state;
    pthread_t thread;
    int status;
    mem_heap *walked = mem_heap_create(64 << 10, NULL), *other = mem_heap_create(64 << 10, NULL);
    assert_int_equal(pthread_create(&thread, NULL, walk, walked), 0);
    while (!__atomic_load_n(&is_walking, __ATOMIC_ACQUIRE))
        usleep(1000);
    double begin = seconds();
    pid_t child = fork();
    if (child == 0)
        _exit(mem_free(other, mem_alloc(other, 100)) == MEM_OK ? 0 : 1);
    double waited = seconds() - begin;
    __atomic_store_n(&may_end, true, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(waited > 0.1 && waited < 9); /* A call that is no walk would have ten. */
    assert_int_equal(mem_free(walked, mem_alloc(walked, 100)), MEM_OK);
    assert_int_equal(mem_heap_destroy(walked), MEM_OK);
    assert_int_equal(mem_heap_destroy(other), MEM_OK);
}

static mem_heap *beside;
static int nbeside;

/* For as long as the walk lasts, the visitor uses another heap. */
static bool use_another(const struct mem_piece *piece, void *context)
{
    (void)piece;
    (void)context;
    __atomic_store_n(&is_walking, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&may_end, __ATOMIC_ACQUIRE))
        nbeside += mem_free(beside, mem_alloc(beside, 100)) == MEM_OK;
    return false;
}

static void *walk_and_use(void *heap)
{
    mem_walk(heap, use_another, NULL);
    return NULL;
}

/* The fork waits for the walk, and lets the visitor's calls of the other heap pass meanwhile. In
 * the end it goes on; if the visitor is in a call then, the child finds that heap damaged. */
static void test_a_walk_that_uses_another_heap(void **state)
{
    (void)state;
    pthread_t thread;
    int status;
    mem_heap *walked = mem_heap_create(64 << 10, NULL);
    beside = mem_heap_create(64 << 10, NULL);
    is_walking = may_end = false;
    assert_int_equal(pthread_create(&thread, NULL, walk_and_use, walked), 0);
    while (!__atomic_load_n(&is_walking, __ATOMIC_ACQUIRE))
        usleep(1000);
    pid_t child = fork();
    if (child == 0) {
        void *p = mem_alloc(beside, 100);
        bool good = p != NULL ? mem_free(beside, p) == MEM_OK : mem_last_error() == MEM_DAMAGED;
        _exit(good ? 0 : 1);
    }
    __atomic_store_n(&may_end, true, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(nbeside > 0);
    assert_int_equal(mem_check(beside, NULL), MEM_OK);
    assert_int_equal(mem_heap_destroy(walked), MEM_OK);
    assert_int_equal(mem_heap_destroy(beside), MEM_OK);
}

/* All threads want the lock of one heap all the time. A fork gets it all the same. */
static void test_forks_of_one_busy_heap(void **state)
{
    (void)state;
    pthread_t thread[NTHREADS];
    mem_heap *heap = mem_heap_create(4 << 20, NULL);
    __atomic_store_n(&done, false, __ATOMIC_RELAXED);
    for (int i = 0; i < NTHREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work_on, heap), 0);
    for (unsigned long k = 0; k < nforks * 2 / 5; k++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            _exit(mem_check(heap, NULL) == MEM_OK && mem_alloc(heap, 9) != NULL ? 0 : 1);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    __atomic_store_n(&done, true, __ATOMIC_RELAXED);
    for (int i = 0; i < NTHREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
}

static pid_t forked;
static int nrefused;

static bool fork_in_visitor(const struct mem_piece *piece, void *heap)
{
    (void)piece;
    if (forked < 0)
        forked = fork();
    nrefused += mem_alloc(heap, 1) == NULL && mem_last_error() == MEM_BUSY;
    return true;
}

/* The walk goes on in the parent and in the child, and in both the visitor's calls are refused. */
static void test_a_fork_in_a_visitor(void **state)
{
    (void)state;
    int status;
    mem_heap *heap = mem_heap_create(64 << 10, NULL);
    for (int i = 0; i < 3; i++)
        assert_non_null(mem_alloc(heap, 3000));
    forked = -1;
    enum mem_result result = mem_walk(heap, fork_in_visitor, heap);
    bool good = result == MEM_OK && nrefused >= 3 && mem_alloc(heap, 9) != NULL &&
                mem_check(heap, NULL) == MEM_OK && mem_heap_destroy(heap) == MEM_OK;
    if (forked == 0)
        _exit(good ? 0 : 1);
    assert_true(good);
    assert_int_equal(waitpid(forked, &status, 0), forked);
    assert_int_equal(status, 0);
}

/* A child that forks before it has used the heaps: all of them can use them afterwards. */
static void test_a_child_that_forks_at_once(void **state)
{
    (void)state;
    int status;
    mem_heap *heap = mem_heap_create(64 << 10, NULL);
    void *object = mem_alloc(heap, 100);
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        bool good = mem_free(heap, object) == MEM_OK && mem_alloc(heap, 200) != NULL &&
                    mem_check(heap, NULL) == MEM_OK;
        if (grandchild > 0)
            good &= waitpid(grandchild, &status, 0) == grandchild && status == 0;
        _exit(good && grandchild >= 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(mem_free(heap, object), MEM_OK);
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
}

/* --- memory that is shared, or not inherited ---------------------------------------------- */

enum { SHARED_BYTES = 64 << 10 };

static mem_heap *make_in_mapping(int how)
{
    void *memory = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, how | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    mem_heap *heap = mem_heap_in(memory, SHARED_BYTES, NULL);
    assert_non_null(heap);
    return heap;
}

/* Runs in the parent of a fork, before the library releases what it holds, since it was registered
 * before the library's handler. */
static void (*after_fork)(void);

static void run_after_fork(void)
{
    if (after_fork != NULL)
        after_fork();
}

static int child_is_ready[2];

static void wait_for_child(void)
{
    char byte;
    assert_int_equal(read(child_is_ready[0], &byte, 1), 1);
}

static bool forks(void)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    return waitpid(child, &status, 0) == child && status == 0;
}

/* The child has gone through its part of the fork, and forks itself, before the parent goes on. */
static void test_a_shared_heap_of_the_parent(void **state)
{
    (void)state;
    int status;
    mem_heap *heap = make_in_mapping(MAP_SHARED);
    assert_int_equal(pipe(child_is_ready), 0);
    for (int forks_too = 0; forks_too < 2; forks_too++) {
        after_fork = wait_for_child;
        pid_t child = fork();
        if (child == 0) {
            after_fork = NULL;
            bool good = !forks_too || forks();
            _exit(write(child_is_ready[1], "", 1) == 1 && good ? 0 : 1);
        }
        after_fork = NULL;
        assert_int_equal(mem_free(heap, mem_alloc(heap, 100)), MEM_OK);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(mem_check(heap, NULL), MEM_OK);
    }
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
    munmap(heap, SHARED_BYTES);
    close(child_is_ready[0]);
    close(child_is_ready[1]);
}

/* Uses the heap with two threads, until the parent closes the pipe's other end. */
static int use_until_told(mem_heap *heap, const int ready[2], const int told[2])
{
    char byte;
    pthread_t thread[2];
    int nwrong = mem_free(heap, mem_alloc(heap, 100)) != MEM_OK;
    alarm(PATIENCE);
    close(told[1]);
    __atomic_store_n(&done, false, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        nwrong += pthread_create(&thread[i], NULL, work_on, heap) != 0;
    nwrong += write(ready[1], "", 1) != 1 || read(told[0], &byte, 1) != 0;
    __atomic_store_n(&done, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        nwrong += pthread_join(thread[i], NULL) != 0;
    return nwrong + (mem_check(heap, NULL) != MEM_OK);
}

/* One child uses the heap, while its parent and another child of that do nothing but fork. */
static void test_a_shared_heap_of_a_child(void **state)
{
    (void)state;
    enum { NFORKS = 100 };
    int ready[2], told[2], status;
    char byte;
    mem_heap *heap = make_in_mapping(MAP_SHARED);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(told), 0);
    pid_t user = fork();
    if (user == 0)
        _exit(use_until_told(heap, ready, told) == 0 ? 0 : 1);
    close(told[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    pid_t sibling = fork();
    if (sibling == 0) {
        bool good = true;
        close(told[1]);
        for (int i = 0; i < share_of(NFORKS); i++)
            good &= forks();
        _exit(good ? 0 : 1);
    }
    for (int i = 0; i < share_of(NFORKS); i++)
        assert_true(forks());
    assert_int_equal(waitpid(sibling, &status, 0), sibling);
    assert_int_equal(status, 0);
    close(told[1]);
    assert_int_equal(waitpid(user, &status, 0), user);
    assert_int_equal(status, 0);
    assert_int_equal(mem_check(heap, NULL), MEM_OK);
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
    munmap(heap, SHARED_BYTES);
    close(ready[0]);
    close(ready[1]);
}

/* The child does not have the heap's memory, and forks on. */
static void test_a_child_without_the_memory(void **state)
{
    (void)state;
    int status;
    mem_heap *heap = make_in_mapping(MAP_PRIVATE);
    if (madvise(heap, SHARED_BYTES, MADV_DONTFORK) != 0)
        skip();
    pid_t child = fork();
    if (child == 0)
        _exit(forks() ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(mem_free(heap, mem_alloc(heap, 100)), MEM_OK);
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
    munmap(heap, SHARED_BYTES);
}

static mem_heap *original;
static _Alignas(16) unsigned char a_copy[SHARED_BYTES];

/* Byte by byte, as AddressSanitizer knows memcpy, and reports what is free in a heap. */
__attribute__((no_sanitize("address"))) static void copy_heap(void)
{
    const volatile unsigned char *from = (const void *)original;
    for (size_t i = 0; i < SHARED_BYTES; i++)
        a_copy[i] = from[i];
}

static bool has_entered;

static void *enter(void *heap)
{
    (void)mem_alloc(heap, 10);
    __atomic_store_n(&has_entered, true, __ATOMIC_RELEASE);
    return NULL;
}

static pthread_t entering;

static bool fork_and_wait(const struct mem_piece *piece, void *heap)
{
    (void)piece;
    assert_true(forks());
    assert_int_equal(pthread_create(&entering, NULL, enter, heap), 0);
    usleep(50000);
    assert_false(__atomic_load_n(&has_entered, __ATOMIC_ACQUIRE));
    return false;
}

/* A heap was copied while a fork held its lock, and the copy is attached. A fork in a visitor of
 * the copy leaves the walk its lock, which it does not get. */
static void test_a_copy_made_during_a_fork(void **state)
{
    (void)state;
    original = make_in_mapping(MAP_PRIVATE);
    assert_non_null(mem_alloc(original, 100));
    after_fork = copy_heap;
    assert_true(forks());
    after_fork = NULL;
    mem_heap *heap = mem_heap_attach(a_copy, SHARED_BYTES, NULL);
    assert_non_null(heap);
    assert_int_equal(mem_walk(heap, fork_and_wait, heap), MEM_OK);
    assert_int_equal(pthread_join(entering, NULL), 0);
    assert_true(has_entered);
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
    assert_int_equal(mem_heap_destroy(original), MEM_OK);
    munmap(original, SHARED_BYTES);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forks),
        cmocka_unit_test(test_a_walk_that_waits_for_the_fork),
        cmocka_unit_test(test_a_walk_that_uses_another_heap),
        cmocka_unit_test(test_forks_of_one_busy_heap),
        cmocka_unit_test(test_a_fork_in_a_visitor),
        cmocka_unit_test(test_a_child_that_forks_at_once),
        cmocka_unit_test(test_a_shared_heap_of_the_parent),
        cmocka_unit_test(test_a_shared_heap_of_a_child),
        cmocka_unit_test(test_a_child_without_the_memory),
        cmocka_unit_test(test_a_copy_made_during_a_fork),
    };
    nforks = argc > 1 ? strtoul(argv[1], NULL, 10) : (unsigned long)share_of(100);
    if (argc > 2)
        dice = strtoul(argv[2], NULL, 10) * 1000;
    alarm(PATIENCE + (unsigned)nforks);
    if (pthread_atfork(NULL, run_after_fork, NULL) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

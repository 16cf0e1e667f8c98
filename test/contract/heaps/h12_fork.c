/* SPDX-License-Identifier: MIT
 *
 * h12_fork.c - H12: checks that a child process can use every heap that threads of its parent were
 * using at the fork.
 */
#include "unit.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem_heap.h"

enum { NTHREADS = 8 };

static bool done;

static void *work_on(void *heap)
{
    uint64_t own_dice = (uintptr_t)&own_dice;
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
    alarm(20);
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
    enum { NFORKS = 60 };
    pthread_t thread[NTHREADS];
    mem_heap *heap[NTHREADS];
    for (int i = 0; i < NTHREADS; i++) {
        heap[i] = mem_heap_create(i % 2 ? 64 << 10 : 4 << 20, NULL);
        assert_int_equal(pthread_create(&thread[i], NULL, work_on, heap[i]), 0);
    }
    for (int k = 0; k < NFORKS; k++) {
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

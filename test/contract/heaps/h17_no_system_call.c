/* SPDX-License-Identifier: MIT
 *
 * h17_no_system_call.c - H17: checks that a heap in a buffer makes no system call.
 */
#include "own_heaps.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs with only the system calls for writing and exiting allowed. */
static void run_confined(void)
{
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        syscall(SYS_exit, 77);
    bool good = true;
    for (size_t nbytes = 256; nbytes <= LARGE; nbytes += nbytes) {
        mem_heap *heap = mem_heap_in(memory, nbytes, NULL);
        for (int i = 0; i < 200; i++) {
            char *p = mem_alloc(heap, nbytes / 4), *q = mem_aligned(heap, nbytes / 10, 16);
            good &= p != NULL && mem_resize(heap, p, nbytes / 9) != NULL;
            good &= mem_free_any(heap, q) == MEM_OK && mem_free(heap, p) == MEM_OK;
        }
        good &= mem_check(heap, NULL) == MEM_OK && mem_heap_destroy(heap) == MEM_OK;
    }
    syscall(SYS_exit, good ? 0 : 1);
}

static void test_buffers_need_no_system_call(void **state)
{
    (void)state;
    int status;
    /* The first heap of a process is one of the exceptions that mem_heap.h names. */
    assert_ok(mem_heap_destroy(mem_heap_in(memory, 4096, NULL)));
    pid_t child = fork();
    if (child == 0)
        run_confined();
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* The emulator does not support seccomp. */
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers_need_no_system_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

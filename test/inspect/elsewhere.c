/* SPDX-License-Identifier: MIT
 *
 * elsewhere.c shared|fibers|left - keeps objects where `mem leaks` may overlook them, and leaks
 * none of them; or, with `left`, leaks a hundred. It prints `pid`, the process to look at, and
 * `ready`, and waits until standard input ends.
 *
 *     shared   in shared memory of a child, which has touched none of its pages since fork
 *     fibers   on the stacks of coroutines, which lie side by side in one mapping with inaccessible
 *              pages below it, while the program runs on one of them
 *     left     a thread that waits has left their addresses in its stack, in what is free of it
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { NOBJECTS = 100, SHARED_BYTES = 1 << 20, NFIBERS = 4, FIBER_BYTES = 64 << 10 };

static void *map(size_t nbytes, int access, int flags)
{
    void *p = mmap(NULL, nbytes, access, flags | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        abort();
    return p;
}

static void say(pid_t id)
{
    printf("pid %d\nready\n", (int)id);
    fflush(stdout);
}

static void wait_for_end(void)
{
    char byte;
    while (read(STDIN_FILENO, &byte, 1) != 0)
        ;
}

/* --- shared memory ------------------------------------------------------------------------ */

static __attribute__((noinline)) void fill(void **place)
{
    for (int i = 0; i < NOBJECTS; i++)
        place[i] = malloc(1000 + (size_t)i);
}

/* Overwrites what earlier calls have left in the stack. */
static __attribute__((noinline)) void clear_stack(void)
{
    char zeros[16 << 10];
    memset(zeros, 0, sizeof zeros);
    __asm__ volatile("" : : "r"(zeros) : "memory");
}

static int run_shared(void)
{
    void **shared = map(SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
    int status;
    fill(shared + SHARED_BYTES / sizeof *shared / 2);
    clear_stack();
    pid_t child = fork();
    if (child == 0) {
        wait_for_end();
        _exit(0);
    }
    say(child);
    wait_for_end();
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}

/* --- coroutines ---------------------------------------------------------------------------- */

static ucontext_t contexts[NFIBERS + 1]; /* the last one is that of the first stack */

static void fiber(int i)
{
    void *volatile object = malloc(7000 + (size_t)i);
    if (i == NFIBERS - 1) {
        say(getpid());
        wait_for_end();
    }
    swapcontext(&contexts[i], &contexts[NFIBERS]);
    free(object);
}

/* The last coroutine, in which the program waits, has the highest stack. */
static int run_fibers(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pool = map(page + NFIBERS * FIBER_BYTES, PROT_NONE, MAP_PRIVATE);
    if (mprotect(pool + page, NFIBERS * FIBER_BYTES, PROT_READ | PROT_WRITE) != 0)
        abort();
    for (int i = 0; i < NFIBERS; i++) {
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = pool + page + (size_t)i * FIBER_BYTES;
        contexts[i].uc_stack.ss_size = FIBER_BYTES;
        makecontext(&contexts[i], (void (*)(void))fiber, 1, i);
        swapcontext(&contexts[NFIBERS], &contexts[i]);
    }
    return 0;
}

/* --- what is free of a stack ------------------------------------------------------------------ */

/* Far below what the thread's further calls need of the stack. */
static __attribute__((noinline)) void fill_below(void)
{
    void *places[(16 << 10) / sizeof(void *)];
    fill(places);
    __asm__ volatile("" : : "r"(places) : "memory");
}

static void *leave(void *unused)
{
    fill_below();
    say(getpid());
    wait_for_end();
    return unused;
}

static int run_left(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, leave, NULL) == 0 && pthread_join(thread, NULL) == 0 ? 0
                                                                                              : 1;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    int status = strcmp(mode, "fibers") == 0 ? run_fibers()
                 : strcmp(mode, "left") == 0 ? run_left()
                                             : run_shared();
    printf("alive\n");
    return status;
}

/* SPDX-License-Identifier: MIT
 *
 * Checks threads that come and go, free each other's objects, and allocate while they exit; and
 * forks while other threads allocate [M5].
 *
 *     m05_threads THREADS FORKS [SEED]
 */
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tap.h"

enum { AT_ONCE = 8, NSHARED = 64 };

static uint64_t first_seed = 1;
static pthread_key_t key;
static _Atomic unsigned ndestroyed, nbad;
static _Atomic(unsigned char *) shared[NSHARED];
static _Atomic bool stop;

/* Puts an object where another thread takes it, and frees the object that was there. */
static void exchange(uint64_t *seed)
{
    size_t n = 16 + rnd(seed, 500);
    unsigned char *p = malloc(n);
    if (p == NULL) {
        nbad++;
        return;
    }
    memset(p, (int)(n & 255), n);
    p = __atomic_exchange_n((unsigned char **)&shared[rnd(seed, NSHARED)], p, __ATOMIC_ACQ_REL);
    if (p != NULL) {
        nbad += !all_are(p, (unsigned char)malloc_usable_size(p), malloc_usable_size(p));
    }
    free(p);
}

static void destroy(void *value)
{
    char *p = realloc(value, 300);
    nbad += p == NULL || p[0] != 8;
    free(p);
    ndestroyed++;
}

static void *come_and_go(void *number)
{
    uint64_t seed = first_seed + (uintptr_t)number;
    char *p = calloc(1, 20);
    p[0] = 8;
    pthread_setspecific(key, p);
    for (int i = 0; i < 20; i++) {
        exchange(&seed);
    }
    return NULL;
}

/* What exiting threads leave behind would add up: after the first thousand, resident memory must
 * not grow. */
static void many_threads(size_t nthreads)
{
    enum { EARLY = 1000, FEW_BYTES = 4 << 20 };
    pthread_t thread[AT_ONCE];
    size_t failed = 0, early = SIZE_MAX;
    pthread_key_create(&key, destroy);
    for (size_t i = 0; i < nthreads; i += AT_ONCE) {
        for (size_t j = 0; j < AT_ONCE; j++) {
            failed += pthread_create(&thread[j], NULL, come_and_go, (void *)(i + j)) != 0;
        }
        for (size_t j = 0; j < AT_ONCE; j++) {
            pthread_join(thread[j], NULL);
        }
        if (i == EARLY - EARLY % AT_ONCE) {
            early = resident();
        }
    }
    size_t late = resident();
    printf("# resident: %zu KiB after %d threads, %zu KiB in the end\n",
           early == SIZE_MAX ? 0 : early >> 10, EARLY, late >> 10);
    check(late > 0 && (early == SIZE_MAX || late <= early + FEW_BYTES),
          "threads leave no memory behind");
    check(failed == 0, "all threads started");
    check(ndestroyed >= nthreads, "malloc and free in destructors of thread keys");
    check(nbad == 0, "objects that other threads freed were whole");
}

static _Atomic pid_t detached;

static void *say_who(void *nothing)
{
    detached = gettid();
    return nothing;
}

/* When a thread exits, libc frees memory that belongs to its thread-local storage. Here that is
 * the thread's only call of free, and its stack is unmapped right afterwards. */
static void stacks_that_go(void)
{
    enum { STACK = 1 << 18 };
    pthread_t thread;
    pthread_attr_t attributes;
    size_t failed = 0;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < 3; i++) {
        void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_attr_setstack(&attributes, stack, STACK);
        detached = 0;
        failed += pthread_create(&thread, &attributes, say_who, NULL) != 0;
        while (failed == 0 && (detached == 0 || tgkill(getpid(), detached, 0) == 0)) {
            sched_yield();
        }
        munmap(stack, STACK);
        malloc_trim(0); /* It visits all threads that have a thread cache. */
    }
    check(failed == 0, "nothing is left of threads that only freed as they died");
}

static void *work(void *number)
{
    uint64_t seed = first_seed + 77 + (uintptr_t)number;
    while (!stop) {
        exchange(&seed);
    }
    return NULL;
}

/* Fork handlers of the program, which allocate while the fork is under way. */
static void *handled;
static void before_fork(void)
{
    handled = malloc(1000);
}
static void after_fork(void)
{
    free(handled);
    free(malloc(100));
}

static void be_the_child(uint64_t seed)
{
    alarm(PATIENCE);
    for (int i = 0; i < 50; i++) {
        exchange(&seed);
    }
    char *p = realloc(malloc(10), 100000);
    free(p);
    _exit(p == NULL || nbad > 0);
}

static bool ended_well(pid_t child)
{
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* Several children live at the same time. */
static void many_forks(size_t nforks)
{
    pthread_t thread[AT_ONCE / 2];
    pid_t child[AT_ONCE];
    size_t failed = 0;
    pthread_atfork(before_fork, after_fork, after_fork);
    for (size_t j = 0; j < AT_ONCE / 2; j++) {
        pthread_create(&thread[j], NULL, work, (void *)j);
    }
    for (size_t i = 0; i < nforks; i++) {
        pid_t *next = &child[i % AT_ONCE];
        failed += i >= AT_ONCE && !ended_well(*next);
        *next = fork();
        if (*next == 0) {
            be_the_child(first_seed + i);
        }
    }
    for (size_t i = 0; i < AT_ONCE && i < nforks; i++) {
        failed += !ended_well(child[i]);
    }
    stop = true;
    for (size_t j = 0; j < AT_ONCE / 2; j++) {
        pthread_join(thread[j], NULL);
    }
    printf("# %zu forks, seed %" PRIu64 "\n", nforks, first_seed);
    check(failed == 0, "children of fork allocate while others did");
    check(nbad == 0, "and the parent's objects were whole");
}

int main(int argc, char **argv)
{
    first_seed = argc > 3 ? strtoul(argv[3], NULL, 10) * 1000000 : 1;
    many_threads(argc > 1 ? strtoul(argv[1], NULL, 10) : 10000);
    stacks_that_go();
    many_forks(argc > 2 ? strtoul(argv[2], NULL, 10) : 1000);
    for (int i = 0; i < NSHARED; i++) {
        free(shared[i]);
    }
    check(mallinfo2().fordblks > 0, "the heap can be counted out afterwards");
    return done();
}

/* SPDX-License-Identifier: MIT
 *
 * The program that helgrind.sh runs: threads allocate, hand objects to each other under their own
 * lock, and free what others have made.
 *
 * It is built for the classic calls with -DCLASSIC, else for malloc.
 *
 *     hand_over          has no race, if the heap has none
 *     hand_over race     has one race of its own, which helgrind must report
 */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef CLASSIC
#include "mem.h"
#else
#include <malloc.h>
#include <valgrind/helgrind.h>
#include "../support/reserved.h"
#endif

enum { NTHREADS = 4, NSTEPS = 1200, NSHARED = 8, REGION = 32 << 20 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char *shared[NSHARED]; /* Guarded by lock. */
static pthread_barrier_t together;
static bool with_race;
static int nwrong; /* Guarded by lock, except in the run with a race. */

/* Makes helgrind forget earlier accesses to the object's memory, which it does by itself for its
 * own malloc. The memory may have been in another thread's window: the thread that revoked the
 * window waited until its owner was not reading it, which helgrind cannot see. */
static unsigned char *fresh(void *p, size_t n)
{
#ifndef CLASSIC
    VALGRIND_HG_CLEAN_MEMORY(p, n);
#else
    (void)n;
#endif
    return p;
}

#ifdef CLASSIC
static unsigned char *take(unsigned n)
{
    return n % 4 < 3 ? Mem_Alloc((int)n, (int)(n % 4)) : Mem_Alloc((int)n);
}

static size_t size_of(unsigned char *p)
{
    return (size_t)Mem_GetSize(p + 1);
}

static bool give(unsigned char *p)
{
    return Mem_IsValid(p) == 1 && Mem_Free(p + 2) == 0;
}

static bool look(void)
{
    Mem_Dump();
    return Mem_Check() == 0;
}

static size_t open_heap(void)
{
    return Mem_Init(REGION) == 0 && freopen("/dev/null", "w", stdout) != NULL ? REGION : 0;
}
#else
static unsigned char *take(unsigned n)
{
    void *p = NULL;
    switch (n % 4) {
    case 0:
        return realloc(malloc(n / 2), n);
    case 1:
        return calloc(1, n);
    case 2:
        return posix_memalign(&p, 256, n) == 0 ? p : NULL;
    default:
        return malloc(n);
    }
}

static size_t size_of(unsigned char *p)
{
    return malloc_usable_size(p);
}

static bool give(unsigned char *p)
{
    /* With LIBMEM=onerror=report this prints a line on standard error and has no other effect. */
    free(p + 1);
    free(p);
    return true;
}

static bool look(void)
{
    malloc_trim(0);
    return mallinfo2().arena > 0;
}

static size_t open_heap(void)
{
    return reserved();
}
#endif

/* Puts p into the shared place and returns the object that was there. */
static unsigned char *exchange(unsigned char *p, unsigned at)
{
    pthread_mutex_lock(&lock);
    unsigned char *found = shared[at % NSHARED];
    shared[at % NSHARED] = p;
    pthread_mutex_unlock(&lock);
    return found;
}

static void count(bool good)
{
    if (with_race) {
        nwrong += !good;
        return;
    }
    pthread_mutex_lock(&lock);
    nwrong += !good;
    pthread_mutex_unlock(&lock);
}

static bool is_whole(const unsigned char *p, size_t n)
{
    return p[0] == (n & 255) && p[n - 1] == (n & 255);
}

static void *work(void *seed)
{
    unsigned state = (unsigned)(size_t)seed;
    pthread_barrier_wait(&together);
    for (int i = 0; i < NSTEPS; i++) {
        state = state * 1664525 + 1013904223;
        unsigned n = 16 + (state >> 8) % (i % 50 == 0 ? 100000 : 700);
        unsigned char *p = fresh(take(n), n);
        if (p != NULL) {
            memset(p, (int)(n & 255), n);
        }
        unsigned char *found = exchange(p, state >> 20);
        count(p != NULL && (found == NULL || (is_whole(found, size_of(found)) && give(found))));
        if (i % 100 == 0) {
            count(look());
        }
        if (i % 8 == 0) {
            sched_yield(); /* valgrind runs one thread at a time, for long periods. */
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread[NTHREADS];
    with_race = argc > 1 && strcmp(argv[1], "race") == 0;
    size_t nbytes = open_heap();
    pthread_barrier_init(&together, NULL, NTHREADS);
    for (size_t i = 0; i < NTHREADS; i++) {
        if (pthread_create(&thread[i], NULL, work, (void *)(i + 1)) != 0) {
            return 2;
        }
    }
    for (size_t i = 0; i < NTHREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    dprintf(STDERR_FILENO, "region %zu, %d wrong\n", nbytes, nwrong);
    return nwrong != 0;
}

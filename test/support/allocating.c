/* SPDX-License-Identifier: MIT
 *
 * A library that replaces functions of the C library by functions that allocate, as libraries that
 * fake the time, trace, or register memory do. Each allocates, then calls the system itself.
 *
 * It is preloaded behind libmem-malloc.so (m08_interposed.c). An allocator that calls one of these
 * functions while it holds its own lock waits for itself.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

static _Atomic unsigned ncalls;
static __thread int depth;

/* How often one of the functions was called, except by itself. */
unsigned allocating_ncalls(void);
API unsigned allocating_ncalls(void)
{
    return ncalls;
}

static void allocate(void)
{
    if (depth++ == 0) {
        ncalls++;
        for (int i = 0; i < 3; i++) {
            void *volatile p = malloc(200000);
            free(p);
        }
    }
    depth--;
}

API int clock_gettime(clockid_t id, struct timespec *t)
{
    allocate();
    return (int)syscall(SYS_clock_gettime, id, t);
}

API int madvise(void *at, size_t n, int advice)
{
    allocate();
    return (int)syscall(SYS_madvise, at, n, advice);
}

API int mprotect(void *at, size_t n, int prot)
{
    allocate();
    return (int)syscall(SYS_mprotect, at, n, prot);
}

API int sched_yield(void)
{
    allocate();
    return (int)syscall(SYS_sched_yield);
}

API int nanosleep(const struct timespec *t, struct timespec *rest)
{
    allocate();
    return (int)syscall(SYS_nanosleep, t, rest);
}

API pid_t gettid(void)
{
    allocate();
    return (pid_t)syscall(SYS_gettid);
}

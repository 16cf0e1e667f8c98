/* SPDX-License-Identifier: MIT
 *
 * A library that replaces functions of the C library by functions that allocate, as libraries that
 * fake the time, trace, or register memory do. Each allocates, then does what the function does.
 *
 * It is preloaded behind libmem-malloc.so (m08_interposed.c). An allocator that calls one of these
 * functions while it holds its own lock waits for itself.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

static _Atomic unsigned ncalls;

/* How often one of the functions was called, except by itself. */
unsigned allocating_ncalls(void);
API unsigned allocating_ncalls(void)
{
    return ncalls;
}

/* Allocates, unless the calling thread is about to do so already: *depth is its own. */
static void allocate_once(int *depth)
{
    if ((*depth)++ == 0) {
        ncalls++;
        for (int i = 0; i < 3; i++) {
            void *volatile p = malloc(200000);
            free(p);
        }
    }
    (*depth)--;
}

static void allocate(void)
{
    static __thread int depth;
    allocate_once(&depth);
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

/* The function of libc that has this name. */
#define REAL(name) ((__typeof__(name) *)real(#name))
static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

API int pthread_mutex_lock(pthread_mutex_t *lock)
{
    allocate();
    return REAL(pthread_mutex_lock)(lock);
}

API int pthread_mutex_trylock(pthread_mutex_t *lock)
{
    allocate();
    return REAL(pthread_mutex_trylock)(lock);
}

API int pthread_mutex_unlock(pthread_mutex_t *lock)
{
    allocate();
    return REAL(pthread_mutex_unlock)(lock);
}

/* --- when the program begins -------------------------------------------------------- */

API void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    allocate();
    return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
}

API int munmap(void *at, size_t n)
{
    allocate();
    return (int)syscall(SYS_munmap, at, n);
}

API int sysinfo(struct sysinfo *info)
{
    allocate();
    return (int)syscall(SYS_sysinfo, info);
}

API int getrlimit(__rlimit_resource_t what, struct rlimit *limit)
{
    allocate();
    return (int)syscall(SYS_prlimit64, 0, what, NULL, limit);
}

API ssize_t write(int fd, const void *text, size_t n)
{
    allocate();
    return syscall(SYS_write, fd, text, n);
}

API long(sysconf)(int name)
{
    allocate();
    return REAL(sysconf)(name);
}

/* An allocator that starts asks for several numbers. When it asks for the page, this allocates
 * even within an allocation that was made since it had asked for another one. */
API unsigned long getauxval(unsigned long type)
{
    static __thread int depth_of_page;
    if (type == AT_PAGESZ)
        allocate_once(&depth_of_page);
    else
        allocate();
    return REAL(getauxval)(type);
}

/* SPDX-License-Identifier: MIT
 *
 * Makes system calls of libmem-malloc.so fail, as failing.h says which.
 *
 * This library, failing.so, is preloaded before libmem-malloc.so and interposes the functions by
 * which the malloc layer asks the system for something. libc's internal calls do not come this
 * way, so every call that is counted here is libmem's.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "failing.h"

#define API __attribute__((visibility("default")))

int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *);

/* dlsym allocates only when it fails. */
#define REAL(name) ((__typeof__(name) *)real(#name))
static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

struct failing *failing_page(void);
API struct failing *failing_page(void)
{
    static struct failing nowhere;
    static _Atomic(struct failing *) page;
    if (page == NULL) {
        void *p =
            REAL(mmap)(NULL, sizeof nowhere, PROT_READ | PROT_WRITE, MAP_SHARED, FAILING_FD, 0);
        page = p == MAP_FAILED ? &nowhere : p;
    }
    return page;
}

static bool fails(enum failing_call call, int number)
{
    struct failing *f = failing_page();
    uint32_t n = ++f->n;
    f->ncalls[call]++;
    bool chosen = f->only != 0 ? f->only == call + 1u
                               : f->at != 0 && (n == f->at || (n > f->at && f->onwards));
    if (!chosen) {
        return false;
    }
    f->nfailed[call]++;
    errno = number;
    return true;
}

/* The pthread functions return the error number and leave errno alone. */
static int number_if_fails(enum failing_call call, int number)
{
    int before = errno;
    bool so = fails(call, number);
    errno = before;
    return so ? number : 0;
}

API void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    return fails(FAILING_mmap, ENOMEM) ? MAP_FAILED : REAL(mmap)(at, n, prot, flags, fd, offset);
}

API int munmap(void *at, size_t n)
{
    return fails(FAILING_munmap, ENOMEM) ? -1 : REAL(munmap)(at, n);
}

API void *mremap(void *at, size_t n, size_t wanted, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    void *to = va_arg(arguments, void *);
    va_end(arguments);
    return fails(FAILING_mremap, ENOMEM) ? MAP_FAILED : REAL(mremap)(at, n, wanted, flags, to);
}

API int mprotect(void *at, size_t n, int prot)
{
    return fails(FAILING_mprotect, ENOMEM) ? -1 : REAL(mprotect)(at, n, prot);
}

API int madvise(void *at, size_t n, int advice)
{
    return fails(FAILING_madvise, ENOMEM) ? -1 : REAL(madvise)(at, n, advice);
}

API int sysinfo(struct sysinfo *info)
{
    return fails(FAILING_sysinfo, EPERM) ? -1 : REAL(sysinfo)(info);
}

API int getrlimit(__rlimit_resource_t what, struct rlimit *limit)
{
    return fails(FAILING_getrlimit, EPERM) ? -1 : REAL(getrlimit)(what, limit);
}

API long syscall(long number, ...)
{
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(arguments, long);
    }
    va_end(arguments);
    return fails(FAILING_syscall, ENOSYS)
               ? -1
               : REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

API ssize_t write(int fd, const void *text, size_t n)
{
    return fails(FAILING_write, EIO) ? -1 : REAL(write)(fd, text, n);
}

API int __register_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void),
                          void *library)
{
    int number = number_if_fails(FAILING___register_atfork, ENOMEM);
    return number != 0 ? number : REAL(__register_atfork)(before, in_parent, in_child, library);
}

API int pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    int number = number_if_fails(FAILING_pthread_key_create, EAGAIN);
    return number != 0 ? number : REAL(pthread_key_create)(key, destroy);
}

API int pthread_setspecific(pthread_key_t key, const void *value)
{
    int number = number_if_fails(FAILING_pthread_setspecific, ENOMEM);
    return number != 0 ? number : REAL(pthread_setspecific)(key, value);
}

API int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *how)
{
    int number = number_if_fails(FAILING_pthread_mutex_init, ENOMEM);
    return number != 0 ? number : REAL(pthread_mutex_init)(mutex, how);
}

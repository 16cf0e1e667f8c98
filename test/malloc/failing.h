/* SPDX-License-Identifier: MIT
 *
 * failing.h - what fault.c and failing.c share: a page of memory, at a file descriptor
 * that everybody inherits. An environment would not do: the first calls come before
 * there is one.
 */
#ifndef FAILING_H
#define FAILING_H

#include <stdbool.h>
#include <stdint.h>

enum { FAILING_FD = 200 };

/* The calls that can fail for a reason that is not the caller's. */
#define FAILING_CALLS(X)                                                                           \
    X(mmap)                                                                                        \
    X(munmap)                                                                                      \
    X(mremap)                                                                                      \
    X(mprotect)                                                                                    \
    X(madvise)                                                                                     \
    X(sysinfo)                                                                                     \
    X(getrlimit)                                                                                   \
    X(syscall)                                                                                     \
    X(write)                                                                                       \
    X(__register_atfork)                                                                           \
    X(pthread_key_create)                                                                          \
    X(pthread_setspecific)                                                                         \
    X(pthread_mutex_init)

#define FAILING_NAME(name) FAILING_##name,
enum failing_call { FAILING_CALLS(FAILING_NAME) FAILING_NCALLS };

struct failing {
    uint32_t at;   /* this call fails, counted from 1; 0: none */
    bool onwards;  /* and all that follow */
    uint32_t only; /* all calls of this kind, counted from 1, and of no other; 0: any */
    _Atomic uint32_t n, ncalls[FAILING_NCALLS], nfailed[FAILING_NCALLS];
    _Atomic uint32_t nnull, nwrong; /* what the program saw: NULL with ENOMEM; anything worse */
};

#endif

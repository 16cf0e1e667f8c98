/* SPDX-License-Identifier: MIT
 *
 * failing.h - the page of memory that m08_fault.c and failing.c share, which says which calls fail
 * and counts them.
 *
 * The page is reached by a file descriptor that every child process inherits. An environment
 * variable would not work: libmem-malloc.so makes its first calls before libc knows the
 * environment.
 */
#ifndef FAILING_H
#define FAILING_H

#include <stdbool.h>
#include <stdint.h>

enum { FAILING_FD = 200 };

/* The calls that can fail for reasons beyond the caller's control. */
#define FAILING_CALLS(X)                                                                           \
    X(mmap)                                                                                        \
    X(munmap)                                                                                      \
    X(mprotect)                                                                                    \
    X(madvise)                                                                                     \
    X(sysinfo)                                                                                     \
    X(prlimit64)                                                                                   \
    X(membarrier)                                                                                  \
    X(write)                                                                                       \
    X(__register_atfork)                                                                           \
    X(pthread_key_create)                                                                          \
    X(pthread_setspecific)

#define FAILING_NAME(name) FAILING_##name,
enum failing_call { FAILING_CALLS(FAILING_NAME) FAILING_NCALLS };

struct failing {
    uint32_t at;   /* The call with this number fails, counted from 1; with 0 none fails. */
    bool onwards;  /* All calls after it fail, too. */
    uint32_t only; /* If not 0, calls of this kind fail, counted from 1, and no others: all of
                    * them, or those that `at` and `onwards` say, counted by themselves. */
    _Atomic uint32_t n, ncalls[FAILING_NCALLS], nfailed[FAILING_NCALLS];
    /* What the program saw: allocations that returned NULL with ENOMEM, and anything worse. */
    _Atomic uint32_t nnull, nwrong;
};

#endif

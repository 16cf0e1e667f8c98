/* SPDX-License-Identifier: MIT
 *
 * system_call.h - calls the operating system without the C library. Only os.c includes it.
 */
#ifndef SYSTEM_CALL_H
#define SYSTEM_CALL_H

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"

/* Returns whether the result of a system call is an error number negated. No address of a process
 * is negative. */
static inline bool is_error(long result)
{
    return result < 0;
}

/* Calls the system itself, not through the C library: a program may replace madvise, sched_yield
 * and the like by functions that allocate, and these calls are made while the heap's lock is held.
 * Returns the result, or an error number negated. Keeps errno. */
static inline long system_call_6(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "cc", "memory");
    return number;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "cc", "memory");
    return x0;
#else
    int before = errno;
    long result = syscall(number, a, b, c, d, e, f);
    if (result < 0)
        result = -errno;
    errno = before;
    return result;
#endif
}

static inline long system_call(long number, long a, long b, long c)
{
    return system_call_6(number, a, b, c, 0, 0, 0);
}

#endif

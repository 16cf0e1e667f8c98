/* SPDX-License-Identifier: MIT
 *
 * tap.h - TAP output and helpers for programs that run with libmem-malloc.so as their malloc.
 *
 * A test library is not used, since it would allocate from the heap under test.
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "patience.h"
#include "status.h"

static int tap_ntests;

static inline void check(bool ok, const char *what)
{
    printf("%sok %d - %s\n", ok ? "" : "not ", ++tap_ntests, what);
    fflush(stdout); /* Else each child process would print the buffer again. */
}

static inline int done(void)
{
    printf("1..%d\n", tap_ntests);
    return 0;
}

/* Marsaglia, "Xorshift RNGs", 2003. It gives the same numbers in each run. */
static inline uint32_t rnd(uint64_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((*state >> 32) * below >> 32);
}

/* Hides from the compiler that p came from malloc, so that it neither assumes an address other
 * than NULL nor removes a pair of malloc and free. */
static inline void *opaque(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static inline size_t hide(size_t n)
{
    __asm__ volatile("" : "+r"(n));
    return n;
}

static inline bool all_are(const void *p, unsigned char value, size_t n)
{
    const unsigned char *byte = p;
    for (size_t i = 0; i < n; i++) {
        if (byte[i] != value) {
            return false;
        }
    }
    return true;
}

static inline bool is_multiple(const void *p, size_t of)
{
    return p != NULL && (uintptr_t)p % of == 0;
}

/* Returns the number of resident bytes of this process. */
static inline size_t resident(void)
{
    return status_kib("VmRSS") << 10;
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * tap.h - for the programs that are run with libmem-malloc.so before libc's malloc.
 *
 * No test library: it would allocate, and here that is what is being tested.
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int tap_ntests;

static inline void check(bool ok, const char *what)
{
    printf("%sok %d - %s\n", ok ? "" : "not ", ++tap_ntests, what);
    fflush(stdout); /* or what is in the buffer is printed again by each child */
}

static inline int done(void)
{
    printf("1..%d\n", tap_ntests);
    return 0;
}

/* Marsaglia, "Xorshift RNGs", 2003: the same numbers in each run. */
static inline uint32_t rnd(uint64_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((*state >> 32) * below >> 32);
}

/* What compilers know of malloc they shall not use: that an address is not NULL, that
 * a pair of calls can be left out. */
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

/* Bytes of this process that are in memory. */
static inline size_t resident(void)
{
    size_t npages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL || fscanf(statm, "%*s %zu", &npages) != 1) {
        npages = 0;
    }
    if (statm != NULL) {
        fclose(statm);
    }
    return npages * (size_t)sysconf(_SC_PAGESIZE);
}

#endif

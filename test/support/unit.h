/* SPDX-License-Identifier: MIT
 *
 * unit.h - cmocka, and helpers for the unit tests of one module each.
 *
 * The random numbers are equal in each run, so that a test that fails once fails again.
 */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <cmocka.h>

#include "patience.h"

/* Marsaglia, "Xorshift RNGs", 2003. The state is never 0. */
static inline uint32_t rnd(uint64_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((*state >> 32) * below >> 32);
}

/* Returns false under an emulator of another processor: it records each page of a mapping, which
 * takes minutes where the kernel takes no time. */
static inline bool mappings_are_cheap(void)
{
    const size_t nbytes = (size_t)1 << 36;
    clock_t begin = clock();
    void *p = mmap(NULL, nbytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    munmap(p, nbytes);
    return clock() - begin < CLOCKS_PER_SEC / 50;
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * fit.h - what bench/fit.c and bench/fit_selftest.c share: random numbers, and the self-test.
 */
#ifndef FIT_H
#define FIT_H

#include <stdint.h>

/* A sequence of pseudorandom numbers that is the same on every machine: a 64-bit counter with
 * a mixing step, after Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", 2014. */
struct rng {
    uint64_t state;
};

static inline uint32_t rng_next(struct rng *r)
{
    uint64_t z = r->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (uint32_t)(z >> 32);
}

/* Returns a number from 0 to n - 1, for n > 0. */
static inline int rng_below(struct rng *r, int n)
{
    return (int)(((uint64_t)rng_next(r) * (uint64_t)n) >> 32);
}

/* Compares the textbook list with a naive model, call by call. Returns the number of checks
 * that failed, and prints each of them on standard error. */
int fit_selftest(uint64_t seed);

#endif

/* SPDX-License-Identifier: MIT
 *
 * fit.h - what the two halves of the benchmark of the fits share.
 */
#ifndef FIT_H
#define FIT_H

#include <stdint.h>

/* A random sequence that is the same on every machine (a 64-bit counter with a
 * mixing step, after Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", 2014). */
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

/* 0 .. n-1, for n > 0. */
static inline int rng_below(struct rng *r, int n)
{
    return (int)(((uint64_t)rng_next(r) * (uint64_t)n) >> 32);
}

/* Compares the textbook list with a naive model, call by call. Returns how many
 * checks failed, each told on standard error. */
int fit_selftest(uint64_t seed);

#endif

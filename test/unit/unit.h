/* SPDX-License-Identifier: MIT
 *
 * unit.h - for the tests of one layer each: cmocka, and dice that fall the same
 * way in each run, so that what fails once fails again.
 */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Marsaglia, "Xorshift RNGs", 2003. The state is never 0. */
static inline uint32_t rnd(uint64_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)((*state >> 32) * below >> 32);
}

#endif

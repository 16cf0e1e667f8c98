/* SPDX-License-Identifier: MIT
 *
 * draw.h - what a random test does next: pseudo-random numbers that follow from a seed, or numbers
 * that a fuzzer has chosen.
 */
#ifndef DRAW_H
#define DRAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void draw_from_seed(uint64_t seed);

/* Draws numbers from bytes, which last as long as numbers are drawn: one byte for a choice among
 * 256, two for one among 65536, and so on. After the last one each number is 0. */
void draw_from_bytes(const uint8_t *bytes, size_t nbytes);

/* Returns a number below `below`, which is not 0. */
uint32_t draw(uint32_t below);

/* Returns whether all bytes were drawn. A seed has no end. */
bool draw_has_ended(void);

#endif

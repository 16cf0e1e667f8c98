/* SPDX-License-Identifier: MIT
 *
 * heaps.h - runs the model of many heaps (heaps.c) with numbers that the caller has chosen where
 * they come from (draw.h). heaps.c is a program, or a part of one if it is compiled with
 * -DWITHOUT_MAIN.
 */
#ifndef HEAPS_MODEL_H
#define HEAPS_MODEL_H

#include <stdint.h>

/* Makes n calls, or as many as numbers can be drawn for, on at most 12 heaps of up to 2^log bytes.
 * If a call does not do what it should, says so and ends the process. */
void heaps_run(uint64_t n, int nheaps, unsigned log);

#endif

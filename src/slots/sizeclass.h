/* SPDX-License-Identifier: MIT
 *
 * sizeclass.h - the sizes that slots come in.
 *
 *     16, 32, ... 128, then eight to each doubling: 144, 160, ... 256, 288, ... 8192,
 *     then two: 12288, 16384, 24576, ... 65536
 *
 * So no more than an eighth of a slot is slack, or a third. A class has pages for as many
 * objects as it ever had at once, which counts where the objects are large and few: there
 * fewer classes take less memory, although each has more slack.
 */
#ifndef SIZECLASS_H
#define SIZECLASS_H

#include "base/bits.h"

enum { SMALL_STEP = 16, SMALL_MAX = 128, NSMALL = SMALL_MAX / SMALL_STEP, STEPS = 8 };
enum { FEWER_FROM = 8192 };
enum { SLOT_BYTES_MAX = 65536, NCLASSES = NSMALL + 9 * STEPS };

/* The smallest class for nbytes <= SLOT_BYTES_MAX. */
static inline unsigned sizeclass_of(size_t nbytes)
{
    if (nbytes <= SMALL_MAX)
        return nbytes <= SMALL_STEP ? 0 : (unsigned)(nbytes - 1) / SMALL_STEP;
    unsigned last = (unsigned)nbytes - 1;
    unsigned doubling = highest_bit(last); /* 2^doubling <= last */
    unsigned step = last >> (doubling - 3) | (last >= FEWER_FROM ? 3 : 0);
    return NSMALL + (doubling - 8) * STEPS + step;
}

static inline unsigned sizeclass_bytes(unsigned sizeclass)
{
    if (sizeclass < NSMALL)
        return (sizeclass + 1) * SMALL_STEP;
    unsigned doubling = 7 + (sizeclass - NSMALL) / STEPS;
    unsigned step = (sizeclass - NSMALL) % STEPS;
    return (STEPS + step + 1) << (doubling - 3);
}

/* The first multiple of align, a power of two, that is nbytes > 0 or more; near SIZE_MAX that
 * wraps to 0. The class for so many is the smallest for nbytes whose slots all begin at a
 * multiple of align: all multiples of a step are classes, in the doubling that it belongs to,
 * and so is what is rounded to more than a step; what is rounded to less goes into it. */
static inline size_t sizeclass_room(size_t nbytes, size_t align)
{
    return (nbytes + align - 1) & -align;
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * sizeclass.h - the sizes that slots come in.
 *
 *     16, 32, ... 128, then eight to each doubling: 144, 160, ... 256, 288, ... 8192,
 *     then two to each doubling: 12288, 16384, 24576, ... 65536
 *
 * So less than 16 bytes of a slot are slack, or an eighth of it if that is more; above 8192 bytes,
 * at most a third. Each class keeps pages for as many objects as it ever had at one time. That
 * weighs most where objects are large and few: there fewer classes take less memory in all,
 * although each has more slack.
 */
#ifndef SIZECLASS_H
#define SIZECLASS_H

#include "base/bits.h"

enum { SMALL_STEP = 16, SMALL_MAX = 128, NSMALL = SMALL_MAX / SMALL_STEP, STEPS = 8 };
enum { FEWER_FROM = 8192 };
enum { SLOT_BYTES_MAX = 65536, NCLASSES = NSMALL + 9 * STEPS };

/* Returns the smallest class whose slots have nbytes; nbytes <= SLOT_BYTES_MAX. The logarithm
 * gives the doubling, and the next three bits the step in it. From FEWER_FROM on the two low
 * bits of the step are set, so that two of the eight numbers remain. */
static inline unsigned sizeclass_of(size_t nbytes)
{
    if (nbytes <= SMALL_MAX)
        return nbytes <= SMALL_STEP ? 0 : (unsigned)(nbytes - 1) / SMALL_STEP;
    unsigned last = (unsigned)nbytes - 1;
    unsigned doubling = highest_bit(last); /* 2^doubling <= last */
    unsigned step = last >> (doubling - 3) | (last >= FEWER_FROM ? 3 : 0);
    return NSMALL + (doubling - 8) * STEPS + step;
}

/* Returns the bytes of a slot of the class. */
static inline unsigned sizeclass_bytes(unsigned sizeclass)
{
    if (sizeclass < NSMALL)
        return (sizeclass + 1) * SMALL_STEP;
    unsigned doubling = 7 + (sizeclass - NSMALL) / STEPS;
    unsigned step = (sizeclass - NSMALL) % STEPS;
    return (STEPS + step + 1) << (doubling - 3);
}

/* Rounds nbytes > 0 up to a multiple of align, a power of two. Returns 0 if that is more than
 * SIZE_MAX. The class for the result is the smallest class for nbytes whose slots all begin at a
 * multiple of align: if align is at least the step between the classes there, the result is a
 * class itself; if it is less, each class there is a multiple of the step, and so of align. */
static inline size_t sizeclass_room(size_t nbytes, size_t align)
{
    return (nbytes + align - 1) & -align;
}

#endif

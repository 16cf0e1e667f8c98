/* SPDX-License-Identifier: MIT
 *
 * clean.h - which memory of a region is known to be zero: clean memory.
 *
 *     region       [live][-- free --][live][ free ][live][------- tail -------][ ledger ]
 *     intervals            ^------^                        ^----------------------------^
 *                        was given back                        was never used
 *
 * Memory is clean at first if the system has just made it. What is handed out, also to the library
 * itself, is clean no longer; what goes back to the system, in whole pages, is clean again. What a
 * caller frees is not.
 *
 *   CL1  each byte of an interval is 0, except where records of the ledger were: for these see
 *        ledger_clean_end;
 *   CL2  the intervals are in address order, and no two of them touch;
 *   CL3  there are at most CLEAN_MAX intervals. If there would be more, the shortest is forgotten,
 *        and counted: its memory will be cleared although it is zero;
 *   CL4  no interval has a granule in `gap`. Objects mostly lie near those that were handed out
 *        before, where nothing is clean, so this spares a search.
 *
 * All positions are granules. The caller holds the lock that guards the ledger.
 */
#ifndef CLEAN_H
#define CLEAN_H

#include "base/base.h"

enum { CLEAN_MAX = 32 };

/* [start, end); it is empty if end <= start. */
struct interval {
    uint32_t start, end;
};

struct clean {
    uint32_t n;                              /* intervals in the list */
    uint32_t nforgotten;                     /* granules that were, until chunks.c sets this to 0 */
    struct interval taken;                   /* the clean part of what was handed out last */
    struct interval gap;                     /* it lies between two intervals [CL4] */
    struct interval interval[CLEAN_MAX + 1]; /* one more than CL3 says, while one is added */
};

/* Makes [0, end) clean, and nothing else. */
void clean_open(struct clean *c, uint32_t end);

/* Notes that [start, end), which is free, has gone back to the system. O(CLEAN_MAX). */
void clean_add(struct clean *c, uint32_t start, uint32_t end);

/* Cuts [start, end) out of all intervals, and stores the longest piece that was clean in c->taken.
 * O(CLEAN_MAX). */
void clean_cut(struct clean *c, uint32_t start, uint32_t end);

/* Returns how many granules of [start, end) lie in intervals. O(CLEAN_MAX). */
uint32_t clean_count(const struct clean *c, uint32_t start, uint32_t end);

/* Returns true if [start, end) lies in the gap, so that nothing of it is clean. */
static inline bool clean_is_outside(const struct clean *c, uint32_t start, uint32_t end)
{
    return start >= c->gap.start && end <= c->gap.end;
}

/* Does what clean_cut does if all of [start, end) lies in the gap, and returns true; else returns
 * false, and has done nothing. */
static inline bool clean_cut_fast(struct clean *c, uint32_t start, uint32_t end)
{
    assert(start < end);
    if (!clean_is_outside(c, start, end))
        return false;
    c->taken = (struct interval){0};
    return true;
}

/* Returns whether CL2 to CL4 hold. */
bool clean_is_valid(const struct clean *c);

#endif

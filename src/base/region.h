/* SPDX-License-Identifier: MIT
 *
 * region.h - the one piece of memory that a heap lives in.
 *
 *     base                                                   base + nbytes
 *      |  chunks: objects and free space  -->   gap   <--  ledger  |
 */
#ifndef REGION_H
#define REGION_H

#include "base/base.h"

struct region {
    unsigned char *base; /* NULL: there is no region */
    size_t nbytes;
    bool is_zero; /* it was all zero when the heap was opened */
};

/* Granules are numbered with 32 bits: that is how far a region reaches. */
#define REGION_BYTES_MAX ((size_t)GRANULE_BYTES << 32)

/* Asks the system for nbytes, rounded up to whole pages, all zero. Returns false, and leaves *r
 * alone, if it refuses, or if that is more than REGION_BYTES_MAX. */
bool region_map(struct region *r, size_t nbytes);

/* Asks for a region much of which may never be used: the system need not have memory for
 * all of it. Returns false as region_map does. */
bool region_reserve(struct region *r, size_t nbytes);

/* Gives the upper half, in whole pages, back to the system. Nothing in it may be in use. */
void region_halve(struct region *r);

/* How far into the region an address lies. Not less than r->nbytes for every
 * address outside it: below the base the difference wraps to a huge number, so
 * one compare answers. */
RACING static inline size_t region_offset(const struct region *r, const void *address)
{
    return (uintptr_t)address - (uintptr_t)r->base;
}

/* The address at which a granule of the region begins. */
static inline void *region_at(const struct region *r, uint32_t granule)
{
    return r->base + (size_t)granule * GRANULE_BYTES;
}

#endif

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
    bool is_zero;        /* it was all zero when the heap was opened */
    uint32_t open_bytes; /* 0, or what can be written to at its low end when the heap is opened:
                          * then its high end has REGION_FIRST_BYTES, and all between is closed */
};

/* A multiple of the page, whatever that is. */
enum { REGION_FIRST_BYTES = 64 << 10 };

/* Granules are numbered with 32 bits: that is how far a region reaches. */
#define REGION_BYTES_MAX ((size_t)GRANULE_BYTES << 32)

/* Asks the system for nbytes, rounded up to whole pages, all zero. Returns false, and leaves *r
 * alone, if it refuses, or if that is more than REGION_BYTES_MAX. */
bool region_map(struct region *r, size_t nbytes);

/* REGION_NO_ADDRESSES: the system reserves no such address space. REGION_NO_MEMORY: it does, but
 * lets none of it be opened. */
enum region_result { REGION_OK, REGION_NO_ADDRESSES, REGION_NO_MEMORY };

/* Reserves address space for a region, and opens its ends: the rest is opened as it is needed.
 * Unless it returns REGION_OK, it leaves *r alone. nbytes is limited as for region_map. */
enum region_result region_reserve(struct region *r, size_t nbytes);

/* Opens REGION_FIRST_BYTES at either end of reserved memory, in whole pages, or all of it if there
 * is nothing in between. Returns false if the system refuses. */
bool region_open_ends(unsigned char *memory, size_t nbytes);

/* Returns the open_bytes of a region that begins `head` bytes into such memory and has the rest. */
static inline uint32_t region_open_bytes(size_t nbytes, size_t head)
{
    assert(head < REGION_FIRST_BYTES);
    return nbytes > 2 * (size_t)REGION_FIRST_BYTES ? (uint32_t)(REGION_FIRST_BYTES - head) : 0;
}

/* Returns how far into the region an address lies. That is r->nbytes or more for every address
 * outside it: below the base the difference wraps to a huge number, so one compare answers. */
RACING static inline size_t region_offset(const struct region *r, const void *address)
{
    return (uintptr_t)address - (uintptr_t)r->base;
}

/* Returns the address at which a granule of the region begins. */
static inline void *region_at(const struct region *r, uint32_t granule)
{
    return r->base + (size_t)granule * GRANULE_BYTES;
}

#endif

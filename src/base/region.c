/* SPDX-License-Identifier: MIT
 *
 * region.c - gets the memory of a heap from the system, in whole pages. What a region is: region.h.
 */
#include "base/region.h"

#include "base/os.h"

/* Makes a region of what `map` returns. No granule of a larger one than REGION_BYTES_MAX would
 * have a number. */
static bool open_region(struct region *r, size_t nbytes, void *(*map)(size_t nbytes))
{
    assert(nbytes > 0);
    nbytes = os_whole_pages(nbytes); /* it may be 0 now, which the system refuses to map */
    if (nbytes > REGION_BYTES_MAX)
        return false;
    void *base = map(nbytes);
    if (base == NULL)
        return false;
    assert((uintptr_t)base % GRANULE_BYTES == 0);
    *r = (struct region){.base = base, .nbytes = nbytes, .is_zero = true};
    return true;
}

/* All of the region is promised memory, so the system may refuse it, and later faults do not
 * fail. */
bool region_map(struct region *r, size_t nbytes)
{
    return open_region(r, nbytes, os_map);
}

/* The first bytes of chunks and of records. */
bool region_open_ends(unsigned char *memory, size_t nbytes)
{
    const size_t first = REGION_FIRST_BYTES;
    if (region_open_bytes(nbytes, 0) == 0)
        return os_allow(memory, nbytes);
    return os_allow(memory, first) && os_allow(memory + (nbytes - first), first);
}

enum region_result region_reserve(struct region *r, size_t nbytes)
{
    struct region made;
    if (!open_region(&made, nbytes, os_reserve_closed))
        return REGION_NO_ADDRESSES;
    if (!region_open_ends(made.base, made.nbytes)) {
        os_unmap(made.base, made.nbytes);
        return REGION_NO_MEMORY;
    }
    made.open_bytes = region_open_bytes(made.nbytes, 0);
    *r = made;
    return REGION_OK;
}

/* SPDX-License-Identifier: MIT */
#include "base/region.h"

#include "base/os.h"

static bool open_region(struct region *r, size_t nbytes, void *(*map)(size_t nbytes))
{
    size_t page = os_page_bytes();
    nbytes = ceil_div(nbytes, page) * page;
    if (nbytes > REGION_BYTES_MAX)
        return false;
    void *base = map(nbytes);
    if (base == NULL)
        return false;
    *r = (struct region){.base = base, .nbytes = nbytes, .is_zero = true};
    return true;
}

bool region_map(struct region *r, size_t nbytes)
{
    return open_region(r, nbytes, os_map);
}

bool region_reserve(struct region *r, size_t nbytes)
{
    return open_region(r, nbytes, os_reserve);
}

void region_halve(struct region *r)
{
    size_t page = os_page_bytes();
    size_t rest = r->nbytes / 2 / page * page;
    os_unmap(r->base + (r->nbytes - rest), rest);
    r->nbytes -= rest;
}

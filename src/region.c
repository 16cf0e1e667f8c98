/* SPDX-License-Identifier: MIT */
#include "region.h"

#include "os.h"

bool region_map(struct region *r, size_t nbytes)
{
    size_t page = os_page_bytes();
    nbytes = ceil_div(nbytes, page) * page;
    if (nbytes > REGION_BYTES_MAX)
        return false;
    void *base = os_map(nbytes);
    if (base == NULL)
        return false;
    *r = (struct region){.base = base, .nbytes = nbytes};
    return true;
}

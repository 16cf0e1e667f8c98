/* EXPECT: 134 "called for an object at a multiple of" */
/* SPDX-License-Identifier: MIT
 * Frees an object with an alignment that it has not.
 */
#include "hard.h"

__attribute__((weak)) void free_aligned_sized(void *, size_t, size_t);

int main(void)
{
    char *p = get(malloc(64));
    for (size_t align = 32; align < (size_t)1 << 40; align *= 2)
        if ((uintptr_t)p % align != 0)
            free_aligned_sized(p, align, 64);
    return 0;
}

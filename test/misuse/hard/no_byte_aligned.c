/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Aligned objects of no byte are allocated and freed.
 */
#include "hard.h"

int main(void)
{
    for (size_t align = 16; align <= 65536; align *= 2) {
        char *p = get(aligned_alloc(align, 0));
        if ((uintptr_t)p % align != 0)
            return 1;
        free(p);
    }
    return harmless();
}

/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Objects of no byte are different objects, and have no byte.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(0)), *q = get(malloc(0));
    if (p == q || malloc_usable_size(p) != 0)
        return 1;
    free(q);
    free(p);
    return harmless();
}

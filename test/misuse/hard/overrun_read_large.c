/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Reads the page behind a large object.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64 * 4096));
    printf("%d\n", p[64 * 4096]);
    return 0;
}

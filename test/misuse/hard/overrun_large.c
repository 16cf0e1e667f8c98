/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Writes behind a large object that ends with a page.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64 * 4096));
    p[64 * 4096] = 1;
    return 0;
}

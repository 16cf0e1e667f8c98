/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Reads a large object that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(200000));
    memset(p, 1, 200000);
    free(p);
    printf("%d\n", p[100000]);
    return 0;
}

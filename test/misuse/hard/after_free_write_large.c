/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Writes to a large object that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(200000));
    free(p);
    p[100000] = 1;
    return 0;
}

/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Writes to an object larger than the quarantine that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100 << 20));
    free(p);
    p[50 << 20] = 1;
    return 0;
}

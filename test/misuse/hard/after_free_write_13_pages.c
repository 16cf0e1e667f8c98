/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Writes to an object that just has no slot any longer, and was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(50000));
    free(p);
    p[100] = 1;
    return 0;
}

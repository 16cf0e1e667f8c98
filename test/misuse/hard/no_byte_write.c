/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Writes to an object of no byte.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(0));
    *p = 1;
    return 0;
}

/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Reads an object of no byte.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(0));
    printf("%d\n", *p);
    return 0;
}

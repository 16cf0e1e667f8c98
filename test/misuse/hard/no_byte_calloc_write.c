/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Writes to an object of no byte that calloc has returned.
 */
#include "hard.h"

int main(void)
{
    char *p = get(calloc(10, 0));
    *p = 1;
    return 0;
}

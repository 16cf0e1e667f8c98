/* EXPECT: 134 "byte 40 of the object of 40 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes far over the end, into other objects.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(40));
    memset(p, 1, 40 + 100);
    free(p);
    return 0;
}

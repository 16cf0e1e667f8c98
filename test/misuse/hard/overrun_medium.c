/* EXPECT: 134 "byte 40000 of the object of 40000 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes behind an object of ten pages.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(40000));
    p[40000] = 1;
    free(p);
    return 0;
}

/* EXPECT: 134 "of the object of 8 bytes" */
/* SPDX-License-Identifier: MIT
 * Flips one bit behind an object, whatever is there.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(8));
    p[15] ^= 1;
    free(p);
    return 0;
}

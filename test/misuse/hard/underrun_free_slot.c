/* EXPECT: 134 "byte -1 of the object of 24 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes the byte before an object whose neighbour is free.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(24));
    while ((uintptr_t)p % 4096 < 1024) /* not the first of its span */
        p = get(malloc(24));
    p[-1] ^= 1;
    free(p);
    return 0;
}

/* EXPECT: 134 "byte 24 of the object of 24 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes the byte behind an object that fills all but eight bytes of its slot.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(24));
    p[24] = 1;
    free(p);
    return 0;
}

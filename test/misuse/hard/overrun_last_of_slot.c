/* EXPECT: 134 "byte 143 of the object of 130 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes the last byte of the slot.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(130));
    p[143] ^= 1;
    free(p);
    return 0;
}

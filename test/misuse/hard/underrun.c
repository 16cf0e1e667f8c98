/* EXPECT: 134 "byte 31 of the object of 24 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes the byte before an object, which is the last byte of another slot.
 */
#include "hard.h"

int main(void)
{
    char *p[4000];
    for (int i = 0; i < 4000; i++)
        p[i] = get(malloc(24));
    for (int i = 0; i < 4000; i++)
        if (p[i] == p[0] + 32)
            p[i][-1] ^= 1;
    for (int i = 0; i < 4000; i++)
        if (p[i] == p[0] - 32)
            p[0][-1] ^= 1;
    for (int i = 0; i < 4000; i++)
        free(p[i]);
    return 0;
}

/* EXPECT: 134 "byte 80 of the object of 80 bytes" */
/* SPDX-License-Identifier: MIT
 * Counts an array from 1.
 */
#include "hard.h"

int main(void)
{
    int *a = (int *)get(malloc(20 * sizeof *a));
    for (int i = 1; i <= 20; i++)
        a[i] = i | 0x101;
    free(a);
    return 0;
}

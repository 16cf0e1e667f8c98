/* EXPECT: 134 "byte 107 of the object of 100 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes the eighth byte behind an object.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    p[107] ^= 1;
    free(p);
    return 0;
}

/* EXPECT: 134 "byte 300 of the object of 300 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes behind an object that has grown.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    p = get(realloc(p, 300));
    p[300] = 1;
    free(p);
    return 0;
}

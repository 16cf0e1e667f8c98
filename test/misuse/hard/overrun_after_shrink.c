/* EXPECT: 134 "byte 90 of the object of 90 bytes" */
/* SPDX-License-Identifier: MIT
 * Goes on to use what an object has given up.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    p = get(realloc(p, 90));
    p[90] = 1;
    free(p);
    return 0;
}

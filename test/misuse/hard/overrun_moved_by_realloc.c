/* EXPECT: 134 "realloc(" */
/* SPDX-License-Identifier: MIT
 * Writes behind an object that realloc then moves.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    p[100] = 1;
    p = get(realloc(p, 5000));
    return 0;
}

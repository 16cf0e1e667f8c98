/* EXPECT: 134 "realloc(" */
/* SPDX-License-Identifier: MIT
 * Writes behind an object that realloc then leaves where it is.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    p[100] = 1;
    p = get(realloc(p, 101));
    return 0;
}

/* EXPECT: 134 "realloc(" */
/* SPDX-License-Identifier: MIT
 * Resizes an object that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    free(p);
    p = get(realloc(p, 65));
    return 0;
}

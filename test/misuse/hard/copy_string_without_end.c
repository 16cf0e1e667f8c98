/* EXPECT: 134 "behind its end, would be read" */
/* SPDX-License-Identifier: MIT
 * Copies a string that has no end within its object.
 */
#include "hard.h"

static char to[1000];

int main(void)
{
    char *p = get(malloc(24));
    memset(p, 'a', 24);
    strcpy(to, p);
    return 0;
}

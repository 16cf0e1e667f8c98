/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Reads through the old pointer to an object that realloc has moved.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    memset(p, 'a', 100);
    char *q = get(realloc(p, 3000));
    return p[12] == 0 && q[12] == 'a' ? harmless() : 1;
}

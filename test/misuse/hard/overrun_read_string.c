/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Reads a string without an end: it ends where the object does.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(24));
    memset(p, 'a', 24);
    return strlen(p) == 24 ? harmless() : 1;
}

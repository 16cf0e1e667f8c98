/* EXPECT: 134 "behind its end, would be read" */
/* SPDX-License-Identifier: MIT
 * Copies a string without an end by strncpy, which stops at the zero behind the object.
 */
#include "hard.h"

int main(void)
{
    char to[32], *from = get(malloc(16));
    memset(from, 'x', 16);
    strncpy(to, from, get_size(sizeof to));
    return to[16];
}

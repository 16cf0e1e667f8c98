/* EXPECT: 134 "behind its end, would be written" */
/* SPDX-License-Identifier: MIT
 * Moves ten bytes to the last nine of an object.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(5000));
    memmove(p + 5000 - 9, p, get_size(10));
    return 0;
}

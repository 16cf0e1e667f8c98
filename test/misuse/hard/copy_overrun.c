/* EXPECT: 134 "behind its end, would be written" */
/* SPDX-License-Identifier: MIT
 * Copies a byte too many into an object, which is never freed.
 */
#include "hard.h"

int main(void)
{
    char from[101] = {0}, *p = get(malloc(100));
    memcpy(p, from, get_size(101));
    return 0;
}

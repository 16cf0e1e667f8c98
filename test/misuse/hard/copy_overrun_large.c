/* EXPECT: 134 "behind its end, would be written" */
/* SPDX-License-Identifier: MIT
 * Sets a byte too many of a large object.
 */
#include "hard.h"

int main(void)
{
    memset(get(malloc(300000)), 1, get_size(300001));
    return 0;
}

/* EXPECT: 134 "3000 bytes would be written" */
/* SPDX-License-Identifier: MIT
 * Copies to where an object has not begun yet.
 */
#include "hard.h"

int main(void)
{
    char from[3000] = {0}, *p = get(malloc(3000));
    memcpy(p - 1, from, get_size(3000));
    return 0;
}

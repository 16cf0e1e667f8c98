/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Writes to an array of no element.
 */
#include "hard.h"

int main()
{
    char *p = get(new char[get_size(0)]);
    *p = 1;
    return 0;
}

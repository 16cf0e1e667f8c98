/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Writes from a small object on over the end of its span.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(48));
    spoil_bytes(p, 65536);
    return 0;
}

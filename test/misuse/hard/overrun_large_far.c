/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Writes over the whole page behind a large object.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100000));
    spoil_bytes(p, 100000 + 4096);
    return 0;
}

/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Writes behind a large object that realloc has made.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(32 * 4096));
    p = get(realloc(p, 64 * 4096));
    spoil_bytes(p, 80 * 4096);
    return 0;
}

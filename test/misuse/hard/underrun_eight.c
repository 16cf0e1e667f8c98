/* EXPECT: 134 "free(" */
/* SPDX-License-Identifier: MIT
 * Writes the eight bytes before an object.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    while ((uintptr_t)p % 4096 < 1024)
        p = get(malloc(100));
    spoil_bytes(p - 8, 8);
    free(p);
    return 0;
}

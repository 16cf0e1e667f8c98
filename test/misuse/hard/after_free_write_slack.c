/* EXPECT: 134 "byte 104 of the object of 100 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes byte 104 of an object of 100 bytes that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    free(p);
    p[104] ^= 1;
    use_up_quarantine();
    return 0;
}

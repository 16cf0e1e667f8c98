/* EXPECT: 134 "byte 65 of the object of 128 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes byte 65 of an object of 128 bytes that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(128));
    free(p);
    p[65] = 1;
    use_up_quarantine();
    return 0;
}

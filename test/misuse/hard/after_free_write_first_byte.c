/* EXPECT: 134 "byte 0 of the object of 32 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes byte 0 of an object of 32 bytes that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(32));
    free(p);
    p[0] = 1;
    use_up_quarantine();
    return 0;
}

/* EXPECT: 134 "byte 99 of the object of 100 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes byte 99 of an object of 100 bytes that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    free(p);
    p[99] = 1;
    use_up_quarantine();
    return 0;
}

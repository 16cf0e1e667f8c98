/* EXPECT: 134 "byte 249 of the object of 250 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes byte 249 of an object of 250 bytes that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(250));
    free(p);
    p[249] = 1;
    use_up_quarantine();
    return 0;
}

/* EXPECT: 134 "byte 17 of the object of 240 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes byte 17 of an object of 240 bytes that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(240));
    free(p);
    p[17] = 1;
    use_up_quarantine();
    return 0;
}

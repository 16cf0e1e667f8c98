/* EXPECT: 134 "byte 39999 of the object of 40000 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes byte 39999 of an object of 40000 bytes that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(40000));
    free(p);
    p[39999] = 1;
    use_up_quarantine();
    return 0;
}

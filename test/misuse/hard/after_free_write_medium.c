/* EXPECT: 134 "byte 4999 of the object of 5000 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes byte 4999 of an object of 5000 bytes that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(5000));
    free(p);
    p[4999] = 1;
    use_up_quarantine();
    return 0;
}

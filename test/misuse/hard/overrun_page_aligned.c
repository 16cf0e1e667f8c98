/* EXPECT: 134 "of the object of 4096 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes behind a page.
 */
#include "hard.h"

int main(void)
{
    char *p = get(memalign(4096, 4096));
    p[4096] ^= 1;
    free(p);
    return 0;
}

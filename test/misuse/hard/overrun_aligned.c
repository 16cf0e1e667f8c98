/* EXPECT: 134 "of the object of 100 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes behind an aligned object.
 */
#include "hard.h"

int main(void)
{
    char *p = get(aligned_alloc(64, 100));
    p[100] ^= 1;
    free(p);
    return 0;
}

/* EXPECT: 134 "was written after" */
/* SPDX-License-Identifier: MIT
 * Writes to an aligned object that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(aligned_alloc(128, 100));
    free(p);
    p[50] = 1;
    use_up_quarantine();
    return 0;
}

/* EXPECT: 134 "was written after" */
/* SPDX-License-Identifier: MIT
 * Writes through the old pointer to an object that realloc has moved.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    char *q = get(realloc(p, 3000));
    p[12] = 1;
    use_up_quarantine();
    free(q);
    return 0;
}

/* EXPECT: 134 "was written after" */
/* SPDX-License-Identifier: MIT
 * Writes to an object that realloc has freed, since the size was 0.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    if (realloc(p, 0) != NULL)
        return 1;
    p[12] = 1;
    use_up_quarantine();
    return 0;
}

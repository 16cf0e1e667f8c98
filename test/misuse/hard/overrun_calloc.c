/* EXPECT: 134 "free(" */
/* SPDX-License-Identifier: MIT
 * Writes behind an object that calloc has cleared.
 */
#include "hard.h"

int main(void)
{
    char *p = get(calloc(3, 7));
    p[21] = 7;
    free(p);
    return 0;
}

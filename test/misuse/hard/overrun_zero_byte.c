/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Writes the end of a string one byte too far: no object is there, and the byte is 0 already.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(24));
    p[24] = 0;
    free(p);
    return harmless();
}

/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Reads an object that was freed: its bytes are gone.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    memset(p, 'a', 64);
    free(p);
    for (int i = 0; i < 64; i++)
        if (p[i] != 0)
            return 1;
    return harmless();
}

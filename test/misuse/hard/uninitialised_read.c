/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Reads an object before it writes to it.
 */
#include "hard.h"

int main(void)
{
    for (int i = 0; i < 20000; i++) {
        char *p = get(malloc(100));
        for (int j = 0; j < 100; j++)
            if (p[j] != 0)
                return 1;
        memset(p, 'u', 100);
        free(p);
    }
    return harmless();
}

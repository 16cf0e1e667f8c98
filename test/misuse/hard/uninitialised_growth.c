/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Reads what realloc has added to an object.
 */
#include "hard.h"

int main(void)
{
    for (int i = 0; i < 20000; i++) {
        char *p = get(malloc(40));
        memset(p, 'u', 40);
        p = get(realloc(p, 47));
        for (int j = 40; j < 47; j++)
            if (p[j] != 0)
                return 1;
        free(p);
    }
    return harmless();
}

/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * What the quarantine holds is handed out before there is no space.
 */
#include "hard.h"

int main(void)
{
    for (int i = 0; i < 2000; i++) {
        char *p = get(malloc((size_t)100 << 20));
        if (p == NULL)
            return 1;
        free(p);
    }
    return harmless();
}

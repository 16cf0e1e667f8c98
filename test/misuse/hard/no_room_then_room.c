/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * What the quarantine holds is handed out before there is no space.
 */
#include "hard.h"

int main(void)
{
    for (int i = 0; i < 200; i++) {
        char *p = get(malloc(8 << 20));
        if (p == NULL)
            return 1;
        free(p);
    }
    return harmless();
}

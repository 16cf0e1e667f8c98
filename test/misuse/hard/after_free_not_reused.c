/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * An object that was freed last is not handed out again soon.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    free(p);
    for (int i = 0; i < 1000; i++) {
        char *q = get(malloc(64));
        if (p == q)
            return 1;
        free(q);
    }
    return harmless();
}

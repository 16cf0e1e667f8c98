/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * What an object held is not in the memory that is handed out later.
 */
#include "hard.h"

int main(void)
{
    for (int i = 0; i < 100; i++) {
        char *p = get(malloc(1000));
        memset(p, 's', 1000);
        free(p);
    }
    use_up_quarantine();
    for (int i = 0; i < 3000; i++) {
        char *q = get(malloc(1000));
        if (memchr(q, 's', 1000) != NULL)
            return 1;
    }
    return harmless();
}

/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Fills a heap with few objects far apart and with many small ones in turn: no record that lay
 * where an object lies now is taken for a write, and each object can be freed.
 */
#include "hard.h"

int main(void)
{
    static char *p[300000];
    for (int round = 0; round < 40; round++) {
        int n = 0;
        size_t nbytes = 0;
        for (; n < 300000 && nbytes < (16 << 20); n++) {
            size_t size = round % 2 != 0 ? (size_t)rand() % 200 : 8;
            p[n] = get(round % 2 != 0 ? malloc(size) : memalign(16384, size));
            if (p[n] == NULL)
                break;
            memset(p[n], 1, size);
            nbytes += round % 2 != 0 ? size : 16384;
        }
        while (n > 0) {
            int k = rand() % n--;
            free(p[k]);
            p[k] = p[n];
        }
    }
    return harmless();
}

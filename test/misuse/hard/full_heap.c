/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Fills a small heap with small and large objects in turn, again and again: no record of the heap
 * that lay where an object lies now is taken for a write of the program.
 */
#include "hard.h"

int main(void)
{
    static char *p[30000];
    for (int round = 0; round < 30; round++) {
        size_t most = round % 3 == 0 ? 60 : round % 3 == 1 ? 3000 : 120000;
        int n = 0;
        size_t nbytes = 0;
        for (; n < 30000 && nbytes < (8 << 20); nbytes += most, n++) {
            size_t size = (size_t)rand() % most;
            p[n] = get(malloc(size));
            if (p[n] == NULL)
                break;
            memset(p[n], 1, size);
        }
        while (n > 0) {
            int k = rand() % n--;
            free(p[k]);
            p[k] = p[n];
        }
    }
    return harmless();
}

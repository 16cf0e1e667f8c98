/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Copies whole objects, nothing at all, and memory that is no object.
 */
#include "hard.h"

static const char *volatile text = "abc";

int main(void)
{
    static char one[300000], two[300000];
    for (size_t n = 1; n <= 300000; n = n * 3 / 2 + 1) {
        char *p = get(malloc(n)), *q = get(malloc(n));
        memcpy(one, memcpy(p, memset(q, 7, n), n), n);
        memmove(p, p + n / 2, n - n / 2);
        memmove(p + n, p, get_size(0));
        memcpy(two, one, n);
        free(p);
        memset(p, 0, get_size(0));
        free(q);
    }
    char *p = get(malloc(7));
    strcat(strcpy(p, text), text);
    strncpy(p, text, 7);
    return stpcpy(p, text) == p + 3 ? harmless() : 1;
}

/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * Frees the old place of an object that realloc has moved.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    char *q = get(realloc(p, 4000));
    free(p);
    free(q);
    return 0;
}

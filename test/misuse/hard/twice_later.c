/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * Frees an object again after a hundred others.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    free(p);
    for (int i = 0; i < 100; i++)
        free(get(malloc(64)));
    free(p);
    return 0;
}

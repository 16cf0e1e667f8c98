/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * An object of no byte grows.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(0));
    p = get(realloc(p, 10));
    memset(p, 'a', 10);
    free(p);
    return harmless();
}

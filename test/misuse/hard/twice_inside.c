/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * Frees the middle of an object that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    free(p);
    free(p + 16);
    return 0;
}

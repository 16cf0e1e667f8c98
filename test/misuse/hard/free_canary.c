/* EXPECT: 134 "behind the end" */
/* SPDX-License-Identifier: MIT
 * Frees the byte behind an object.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    free(p + 64);
    return 0;
}

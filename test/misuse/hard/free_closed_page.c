/* EXPECT: 134 "behind the end" */
/* SPDX-License-Identifier: MIT
 * Frees the closed page behind a large object.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64 * 4096));
    free(p + 64 * 4096);
    return 0;
}

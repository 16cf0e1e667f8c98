/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * Frees a large object twice.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(300000));
    free(p);
    free(p);
    return 0;
}

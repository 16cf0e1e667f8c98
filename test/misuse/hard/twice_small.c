/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * Frees an object twice.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    free(p);
    free(p);
    return 0;
}

/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * Frees an object of no byte twice.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(0));
    free(p);
    free(p);
    return 0;
}

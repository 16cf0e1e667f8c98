/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * Frees an object larger than the quarantine twice.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100 << 20));
    free(p);
    free(p);
    return 0;
}

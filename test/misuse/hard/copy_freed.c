/* EXPECT: 134 "16 bytes would be written where memory is free" */
/* SPDX-License-Identifier: MIT
 * Sets memory that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(16));
    free(p);
    memset(p, 1, get_size(16));
    return 0;
}

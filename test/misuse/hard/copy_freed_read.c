/* EXPECT: 134 "8 bytes would be read where memory is free" */
/* SPDX-License-Identifier: MIT
 * Copies out of a large object that was freed.
 */
#include "hard.h"

int main(void)
{
    char to[8], *p = get(malloc(1 << 20));
    free(p);
    memcpy(to, p + 1000, get_size(8));
    return 0;
}

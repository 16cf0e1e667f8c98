/* EXPECT: 134 "byte 100001 of the object of 100000 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes behind a large object, into the rest of its last page.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100000));
    p[100001] ^= 1;
    free(p);
    return 0;
}

/* EXPECT: 134 "4096 bytes into the object of 300000 bytes" */
/* SPDX-License-Identifier: MIT
 * Frees the second page of a large object.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(300000));
    free(p + 4096);
    return 0;
}

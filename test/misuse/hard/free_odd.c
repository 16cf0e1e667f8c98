/* EXPECT: 134 "1 bytes into the object of 64 bytes" */
/* SPDX-License-Identifier: MIT
 * Frees an odd address.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    free(p + 1);
    return 0;
}

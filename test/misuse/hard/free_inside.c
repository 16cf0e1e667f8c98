/* EXPECT: 134 "16 bytes into the object of 64 bytes" */
/* SPDX-License-Identifier: MIT
 * Frees the middle of an object.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    free(p + 16);
    return 0;
}

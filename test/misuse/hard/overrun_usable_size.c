/* EXPECT: 134 "free(" */
/* SPDX-License-Identifier: MIT
 * Writes one byte more than malloc_usable_size says.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(61));
    spoil_bytes(p, malloc_usable_size(p) + 1);
    free(p);
    return 0;
}

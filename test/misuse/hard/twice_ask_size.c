/* EXPECT: 134 "malloc_usable_size(" */
/* SPDX-License-Identifier: MIT
 * Asks for the size of an object that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    free(p);
    printf("%zu\n", malloc_usable_size(p));
    return 0;
}

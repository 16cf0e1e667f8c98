/* EXPECT: 134 "not ours" */
/* SPDX-License-Identifier: MIT
 * Resizes a number that is no address.
 */
#include "hard.h"

int main(void)
{
    char *p = get(realloc(get((void *)(uintptr_t)1), 16));
    free(p);
    return 0;
}

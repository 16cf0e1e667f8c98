/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Asks for more than there is.
 */
#include "hard.h"

int main(void)
{
    if (malloc(get_size(SIZE_MAX)) != NULL || calloc(get_size(SIZE_MAX / 2), 4) != NULL ||
        malloc(get_size(SIZE_MAX - 100)) != NULL || malloc(get_size(PTRDIFF_MAX)) != NULL)
        return 1;
    return harmless();
}

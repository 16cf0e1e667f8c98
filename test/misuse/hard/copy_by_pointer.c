/* EXPECT: 134 "behind its end, would be written" */
/* SPDX-License-Identifier: MIT
 * Calls memcpy by a pointer to it.
 */
#include "hard.h"

int main(void)
{
    void *(*volatile copy)(void *, const void *, size_t) = memcpy;
    char from[101] = {0};
    copy(get(malloc(100)), from, get_size(101));
    return 0;
}

/* EXPECT: 134 "behind its end, would be written" */
/* SPDX-License-Identifier: MIT
 * Calls what a program calls that was built with -D_FORTIFY_SOURCE.
 */
#include "hard.h"

void *__memcpy_chk(void *to, const void *from, size_t nbytes, size_t most);

int main(void)
{
    char from[101] = {0};
    __memcpy_chk(get(malloc(100)), from, get_size(101), (size_t)-1);
    return 0;
}

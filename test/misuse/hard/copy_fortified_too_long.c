/* EXPECT: 134 "buffer overflow detected" */
/* SPDX-License-Identifier: MIT
 * Copies more than the compiler knew room for in a program built with -D_FORTIFY_SOURCE, though the
 * object has room.
 */
#include "hard.h"

void *__memcpy_chk(void *to, const void *from, size_t nbytes, size_t most);

int main(void)
{
    char from[100] = {0};
    __memcpy_chk(get(malloc(100)), from, get_size(50), get_size(50));
    __memcpy_chk(get(malloc(100)), from, get_size(50), get_size(49));
    return 0;
}

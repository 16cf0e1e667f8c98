/* EXPECT: 134 "called for 60 bytes" */
/* SPDX-License-Identifier: MIT
 * Frees an object with another size than it has.
 */
#include "hard.h"

__attribute__((weak)) void free_sized(void *, size_t);

int main(void)
{
    free_sized(get(malloc(64)), 60);
    return 0;
}

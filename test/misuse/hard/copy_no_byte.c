/* EXPECT: 134 "behind its end, would be written" */
/* SPDX-License-Identifier: MIT
 * Copies one byte into an object of none.
 */
#include "hard.h"

int main(void)
{
    memcpy(get(malloc(0)), "a", get_size(1));
    return 0;
}

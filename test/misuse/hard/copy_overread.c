/* EXPECT: 134 "behind its end, would be read" */
/* SPDX-License-Identifier: MIT
 * Copies more out of an object than it has, as Heartbleed did.
 */
#include "hard.h"

int main(void)
{
    static char answer[16384];
    memcpy(answer, get(malloc(20)), get_size(16384));
    return 0;
}

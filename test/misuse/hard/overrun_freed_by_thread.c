/* EXPECT: 134 "byte 50 of the object of 50 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes behind an object that another thread frees.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(50));
    p[50] = 1;
    in_thread(free, p);
    return 0;
}

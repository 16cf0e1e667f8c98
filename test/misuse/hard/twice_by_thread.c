/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * Another thread frees an object again.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    free(p);
    in_thread(free, p);
    return 0;
}

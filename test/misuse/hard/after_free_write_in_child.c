/* EXPECT: 134 "was written after" */
/* SPDX-License-Identifier: MIT
 * A child of fork writes to an object that its parent has freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    free(p);
    if (fork() != 0)
        return status_of_child();
    p[3] = 1;
    use_up_quarantine();
    return 0;
}

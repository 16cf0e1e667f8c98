/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * A child of fork frees what its parent has freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    free(p);
    if (fork() != 0)
        return status_of_child();
    free(p);
    return 0;
}

/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * Frees an aligned object twice.
 */
#include "hard.h"

int main(void)
{
    char *p = get(aligned_alloc(4096, 4096));
    free(p);
    free(p);
    return 0;
}

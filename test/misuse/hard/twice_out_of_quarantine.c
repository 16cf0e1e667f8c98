/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * Frees an object again after the quarantine has given it back.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(1000));
    free(p);
    use_up_quarantine();
    free(p);
    return 0;
}

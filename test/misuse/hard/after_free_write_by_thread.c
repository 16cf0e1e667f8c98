/* EXPECT: 134 "was written after" */
/* SPDX-License-Identifier: MIT
 * Another thread writes to an object that was freed.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(100));
    free(p);
    in_thread(spoil, p + 7);
    use_up_quarantine();
    return 0;
}

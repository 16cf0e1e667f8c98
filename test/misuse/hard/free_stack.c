/* EXPECT: 134 "not ours" */
/* SPDX-License-Identifier: MIT
 * Frees a variable of the stack.
 */
#include "hard.h"

int main(void)
{
    char p[64];
    free(get(p));
    return 0;
}

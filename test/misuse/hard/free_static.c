/* EXPECT: 134 "not ours" */
/* SPDX-License-Identifier: MIT
 * Frees a static variable.
 */
#include "hard.h"

int main(void)
{
    static char p[64];
    free(get(p));
    return 0;
}

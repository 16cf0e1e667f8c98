/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Objects that are allocated in turn do not lie in turn.
 */
#include "hard.h"

int main(void)
{
    int nup = 0;
    char *last = get(malloc(64));
    for (int i = 0; i < 100; i++) {
        char *p = get(malloc(64));
        nup += p > last;
        last = p;
    }
    return nup < 90 ? harmless() : 1;
}

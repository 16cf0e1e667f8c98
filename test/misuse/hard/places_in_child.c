/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * A child of fork puts its objects into other places than its parent.
 */
#include "hard.h"

int main(void)
{
    enum { N = 50 };
    int ends[2], nequal = 0;
    if (pipe(ends) != 0)
        return 1;
    pid_t child = fork();
    for (int i = 0; i < N; i++) {
        char *p = get(malloc(64)), *q;
        if (child == 0 ? write(ends[1], &p, sizeof p) < 0 : read(ends[0], &q, sizeof q) < 0)
            return 1;
        nequal += child != 0 && p == q;
    }
    return nequal < N / 2 ? harmless() : 1;
}

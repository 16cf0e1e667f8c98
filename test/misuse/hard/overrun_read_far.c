/* EXPECT: 139 "" */
/* SPDX-License-Identifier: MIT
 * Reads from a small object on over the end of its span.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(48));
    int sum = 0;
    for (int i = 0; i < 65536; i++)
        sum += p[i];
    printf("%d\n", sum);
    return 0;
}

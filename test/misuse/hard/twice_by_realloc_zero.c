/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * Frees an object that realloc has freed, since the size was 0.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(64));
    if (realloc(p, 0) == NULL)
        free(p);
    return 0;
}

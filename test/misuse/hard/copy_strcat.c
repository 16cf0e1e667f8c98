/* EXPECT: 134 "behind its end, would be written" */
/* SPDX-License-Identifier: MIT
 * Appends to a string for which there was just enough room.
 */
#include "hard.h"

static const char *volatile more = "d";

int main(void)
{
    char *p = get(malloc(4));
    strcpy(p, "abc");
    strcat(p, more);
    return 0;
}

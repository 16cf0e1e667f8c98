/* EXPECT: 134 "behind its end, would be written" */
/* SPDX-License-Identifier: MIT
 * Pads a short string beyond the end of its object, as strncpy does.
 */
#include "hard.h"

static const char *volatile text = "a";

int main(void)
{
    strncpy(get(malloc(8)), text, get_size(9));
    return 0;
}

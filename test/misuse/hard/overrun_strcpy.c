/* EXPECT: 134 "byte 8 of the object of 8 bytes" */
/* SPDX-License-Identifier: MIT
 * Copies a string of nine characters into eight bytes.
 */
#include "hard.h"

int main(void)
{
    char *p = get(malloc(8));
    strcpy(p, "123456789");
    free(p);
    return 0;
}

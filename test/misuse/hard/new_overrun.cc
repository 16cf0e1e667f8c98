/* EXPECT: 134 "byte 100 of the object of 100 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes behind an array.
 */
#include "hard.h"

int main()
{
    char *p = get(::operator new[](100));
    p[100] = 1;
    ::operator delete[](p);
    return 0;
}

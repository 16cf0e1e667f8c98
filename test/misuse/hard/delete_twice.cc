/* EXPECT: 134 "already free" */
/* SPDX-License-Identifier: MIT
 * Deletes an object twice.
 */
#include "hard.h"

int main()
{
    char *p = get(::operator new(100)), *q = get(p);
    ::operator delete(p);
    ::operator delete(q);
    return 0;
}

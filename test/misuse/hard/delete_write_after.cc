/* EXPECT: 134 "was written after" */
/* SPDX-License-Identifier: MIT
 * Writes to an array that was deleted.
 */
#include "hard.h"

int main()
{
    char *p = get(::operator new[](100)), *q = get(p);
    ::operator delete[](p);
    q[40] = 1;
    use_up_quarantine();
    return 0;
}

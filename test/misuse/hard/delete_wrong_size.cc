/* EXPECT: 134 "called for 24 bytes" */
/* SPDX-License-Identifier: MIT
 * Deletes an object with the size of another type.
 */
#include "hard.h"

int main()
{
    ::operator delete(get(::operator new(100)), (size_t)24);
    return 0;
}

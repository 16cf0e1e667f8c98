/* EXPECT: 134 "was allocated by malloc" */
/* SPDX-License-Identifier: MIT
 * Frees or resizes an object by a call of another family than the one that allocated it.
 */
#include "hard.h"

int main()
{
    ::operator delete(get(strdup("a string")));
    return 0;
}

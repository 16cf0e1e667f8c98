/* EXPECT: 134 "was allocated by operator new" */
/* SPDX-License-Identifier: MIT
 * Frees or resizes an object by a call of another family than the one that allocated it.
 */
#include "hard.h"

int main()
{
    char *p = get(::operator new(100));
    free(p);
    return 0;
}

/* EXPECT: 134 "behind its end, would be read" */
/* SPDX-License-Identifier: MIT
 * Lets the C++ library copy more than an object has.
 */
#include <string>

#include "hard.h"

int main()
{
    std::string text;
    text.assign(static_cast<const char *>(get(malloc(100))), 200);
    return 0;
}

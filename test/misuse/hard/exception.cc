/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Throws and catches while objects are freed: exceptions are objects, too.
 */
#include "hard.h"

int main()
{
    for (int i = 0; i < 1000; i++) {
        try {
            std::string s(200, 'x');
            throw s;
        } catch (const std::string &s) {
            if (s.size() != 200)
                return 1;
        }
    }
    return harmless();
}

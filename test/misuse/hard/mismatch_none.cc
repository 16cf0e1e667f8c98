/* EXPECT: 0 "harmless" */
/* SPDX-License-Identifier: MIT
 * Each family frees its own.
 */
#include "hard.h"

int main()
{
    for (size_t n = 0; n < 3000; n += 7) {
        free(get(malloc(n)));
        ::operator delete(get(::operator new(n)));
        ::operator delete[](get(::operator new[](n)));
        ::operator delete(get(::operator new(n, std::nothrow)));
        ::operator delete[](get(::operator new[](n, std::nothrow)));
        ::operator delete(get(::operator new(n, std::align_val_t(64))), std::align_val_t(64));
        ::operator delete[](get(::operator new[](n, std::align_val_t(64))), std::align_val_t(64));
        free(get(realloc(get(malloc(n)), 2 * n + 1)));
    }
    return harmless();
}

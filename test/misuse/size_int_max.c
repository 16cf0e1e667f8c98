/* EXPECT: 0 "Mem_Alloc: NULL E_NO_SPACE, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Asks for INT_MAX bytes, which overflow if they are rounded up. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell_pointer("Mem_Alloc", Mem_Alloc(INT_MAX));
}

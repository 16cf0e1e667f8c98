/* EXPECT: 0 "Mem_Alloc: NULL E_NO_SPACE, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * The highest size: rounding it up overflows. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell_pointer("Mem_Alloc", Mem_Alloc(INT_MAX));
}

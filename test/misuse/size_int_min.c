/* EXPECT: 0 "Mem_Alloc: NULL E_BAD_ARGS, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Asks for INT_MIN bytes, which overflow if they are negated. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell_pointer("Mem_Alloc", Mem_Alloc(INT_MIN));
}

/* EXPECT: 0 "Mem_Alloc: NULL E_BAD_ARGS, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Passes a negative placement style. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell_pointer("Mem_Alloc", Mem_Alloc(10, -1));
}

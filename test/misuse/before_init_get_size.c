/* EXPECT: 0 "Mem_GetSize: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Calls Mem_GetSize before Mem_Init. */
#include "misuse.h"

int main(void)
{
    int on_stack = 0;
    remember();
    return tell("Mem_GetSize", Mem_GetSize(&on_stack));
}

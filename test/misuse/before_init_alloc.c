/* EXPECT: 0 "Mem_Alloc: NULL E_BAD_ARGS, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Calls Mem_Alloc before Mem_Init. */
#include "misuse.h"

int main(void)
{
    remember();
    return tell_pointer("Mem_Alloc", Mem_Alloc(10));
}

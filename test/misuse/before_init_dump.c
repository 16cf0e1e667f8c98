/* EXPECT: 0 "heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Calls Mem_Dump before Mem_Init, which does no harm. */
#include "misuse.h"

int main(void)
{
    remember();
    Mem_Dump();
    return tell("Mem_Dump", 0);
}

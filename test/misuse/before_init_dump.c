/* EXPECT: 0 "heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Mem_Dump without Mem_Init: it does no harm. */
#include "misuse.h"

int main(void)
{
    remember();
    Mem_Dump();
    return tell("Mem_Dump", 0);
}

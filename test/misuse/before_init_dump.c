/* EXPECT: 0 "Mem_Dump: 0 no error, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Mem_Dump without Mem_Init. */
#include "misuse.h"

int main(void)
{
    remember();
    Mem_Dump();
    return tell("Mem_Dump", 0);
}

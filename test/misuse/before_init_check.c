/* EXPECT: 0 "Mem_Check: -1 E_BAD_ARGS, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Calls Mem_Check before Mem_Init. */
#include "misuse.h"

int main(void)
{
    remember();
    return tell("Mem_Check", Mem_Check());
}

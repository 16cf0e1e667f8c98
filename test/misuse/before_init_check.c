/* EXPECT: 0 "Mem_Check: -1 E_BAD_ARGS, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Mem_Check without Mem_Init. */
#include "misuse.h"

int main(void)
{
    remember();
    return tell("Mem_Check", Mem_Check());
}

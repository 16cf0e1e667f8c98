/* EXPECT: 0 "Mem_Init: -1 E_BAD_ARGS, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Calls Mem_Init a second time. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell("Mem_Init", Mem_Init(8192));
}

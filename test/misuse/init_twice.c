/* EXPECT: 0 "Mem_Init: -1 E_BAD_ARGS, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * A second heap. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell("Mem_Init", Mem_Init(8192));
}

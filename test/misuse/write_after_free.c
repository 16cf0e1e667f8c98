/* EXPECT: 0 "Mem_Alloc: NULL E_CORRUPT_FREESPACE, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Writes into freed memory, which the allocation that would use it detects. */
#include "misuse.h"

int main(void)
{
    begin();
    memset(hole, 0x42, 16);
    return tell_pointer("Mem_Alloc", Mem_Alloc(200, BESTFIT)); /* It would be placed there. */
}

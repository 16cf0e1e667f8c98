/* EXPECT: 0 "Mem_Check: -1 E_CORRUPT_FREESPACE, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Changes one bit of freed memory, which Mem_Check detects. */
#include "misuse.h"

int main(void)
{
    begin();
    hole[8] ^= 1;
    return tell("Mem_Check", Mem_Check());
}

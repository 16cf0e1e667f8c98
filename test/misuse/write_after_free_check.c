/* EXPECT: 0 "Mem_Check: -1 E_CORRUPT_FREESPACE, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * One bit written into freed memory, found by the check. */
#include "misuse.h"

int main(void)
{
    begin();
    hole[8] ^= 1;
    return tell("Mem_Check", Mem_Check());
}

/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Frees the address of one of the library's records at the end of the region. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell("Mem_Free", Mem_Free(region_base + region_bytes - ROW_BYTES));
}

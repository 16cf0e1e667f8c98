/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Frees the last address below the region. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell("Mem_Free", Mem_Free(region_base - 1));
}

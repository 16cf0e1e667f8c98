/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Frees an address in the middle of a free chunk. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell("Mem_Free", Mem_Free(hole + 50));
}

/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Two inits that fail, then a good one, and a double free. */
#include "misuse.h"

int main(void)
{
    DEMAND(Mem_Init(0) == -1 && Mem_Init(-1) == -1);
    begin(); /* works all the same, and knows its objects */
    return tell("Mem_Free", Mem_Free(hole));
}

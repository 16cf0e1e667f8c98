/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Calls Mem_Init successfully after two calls that fail, and then frees an object twice. */
#include "misuse.h"

int main(void)
{
    DEMAND(Mem_Init(0) == -1 && Mem_Init(-1) == -1);
    begin(); /* Mem_Init succeeds, and the heap knows its objects. */
    return tell("Mem_Free", Mem_Free(hole));
}

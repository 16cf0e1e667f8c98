/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Frees an object twice. */
#include "misuse.h"

int main(void)
{
    begin();
    DEMAND(Mem_Free(object) == 0);
    forget(object_at(object));
    remember();
    return tell("Mem_Free", Mem_Free(object));
}

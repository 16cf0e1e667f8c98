/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Writes past the end of an object over the next one, which can still be freed, but only once. */
#include "misuse.h"

int main(void)
{
    begin();
    unsigned char *next = get(190);
    memset(object, 0xff, 112 + 190);
    DEMAND(Mem_GetSize(object) == 100 && Mem_GetSize(next) == 190);
    give(next);
    remember();
    return tell("Mem_Free", Mem_Free(next));
}

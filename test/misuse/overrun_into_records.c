/* EXPECT: 0 "Mem_Check: -1 E_CORRUPT_FREESPACE, and again -1" */
/* SPDX-License-Identifier: MIT
 * Overruns the last object into the records: no call crashes. */
#include "misuse.h"

int main(void)
{
    Mem_Init(4096);
    char *p = Mem_Alloc(4064);
    memset(p, 'x', 4096);
    int first = Mem_Check();
    printf("Mem_Check: %d %s, and again %d\n", first, reason(), Mem_Check());
    return Mem_GetSize(p) > 4096 || Mem_Free(p + 5000) == 0;
}

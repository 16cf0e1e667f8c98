/* EXPECT: 0 "Mem_Check: 0 no error, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Writes past the end of an object, over all of the next one. */
#include "misuse.h"

int main(void)
{
    begin();
    unsigned char *next = get(190);
    DEMAND(next == object + 112); /* It begins where the object and its slack end. */
    /* The bytes that the overrun will write are already there, and the bytes of the region are
     * left out of the picture: only a change of an answer counts. */
    memset(next, object[0], 190);
    region_bytes = 0;
    remember();
    memset(object, object[0], 112 + 190);
    return tell("Mem_Check", Mem_Check());
}

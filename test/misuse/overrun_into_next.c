/* EXPECT: 0 "Mem_Check: 0 no error, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * A write past the end, over all of the next object. */
#include "misuse.h"

int main(void)
{
    begin();
    unsigned char *next = get(190);
    DEMAND(next == object + 112); /* where the object and its slack end */
    memset(next, object[0], 190); /* what the overrun will write is there already, */
    region_bytes = 0;             /* and the bytes between are not looked at: */
    remember();                   /* only a change of an answer is a change */
    memset(object, object[0], 112 + 190);
    return tell("Mem_Check", Mem_Check());
}

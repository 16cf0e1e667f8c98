/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * An object of another heap. */
#include "misuse.h"

int main(void)
{
    void *other = malloc(100);
    begin();
    return tell("Mem_Free", Mem_Free(other));
}

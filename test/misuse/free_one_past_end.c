/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * One past the end. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell("Mem_Free", Mem_Free(object + 100));
}

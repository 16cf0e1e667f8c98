/* EXPECT: 0 "Mem_Alloc: NULL E_BAD_ARGS, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Asks for -1 bytes. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell_pointer("Mem_Alloc", Mem_Alloc(-1));
}

/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Frees a variable on the stack. */
#include "misuse.h"

int main(void)
{
    int on_stack = 0;
    begin();
    return tell("Mem_Free", Mem_Free(&on_stack));
}

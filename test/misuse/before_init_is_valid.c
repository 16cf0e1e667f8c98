/* EXPECT: 0 "Mem_IsValid: 0 no error, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Calls Mem_IsValid before Mem_Init: it returns 0 and sets no error. */
#include "misuse.h"

int main(void)
{
    int on_stack = 0;
    remember();
    return tell("Mem_IsValid", Mem_IsValid(&on_stack));
}

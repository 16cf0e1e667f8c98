/* EXPECT: 0 "Mem_IsValid: 0 no error, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Mem_IsValid without Mem_Init: an answer, and no failure. */
#include "misuse.h"

int main(void)
{
    int on_stack = 0;
    remember();
    return tell("Mem_IsValid", Mem_IsValid(&on_stack));
}

/* EXPECT: 0 "Mem_Init: -1 E_BAD_ARGS, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Asks for a region of a negative size. */
#include "misuse.h"

int main(void)
{
    remember();
    return tell("Mem_Init", Mem_Init(-4096));
}

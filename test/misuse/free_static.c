/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Frees a static variable. */
#include "misuse.h"

int main(void)
{
    static int in_data;
    begin();
    return tell("Mem_Free", Mem_Free(&in_data));
}

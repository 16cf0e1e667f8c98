/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Frees the address of a function. */
#include "misuse.h"

int main(void)
{
    int (*code)(void) = main;
    void *address;
    memcpy(&address, &code, sizeof(address));
    begin();
    return tell("Mem_Free", Mem_Free(address));
}

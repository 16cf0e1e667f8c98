/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Frees an object of malloc's heap. */
#include "misuse.h"

int main(void)
{
    void *other = malloc(100);
    begin();
    int result = Mem_Free(other);
    free(other);
    return tell("Mem_Free", result);
}

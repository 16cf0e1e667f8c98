/* EXPECT: 0 "Mem_Free: -1 E_BAD_POINTER, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Frees a page of another mapping that cannot be read. */
#include "misuse.h"

int main(void)
{
    void *other = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    begin();
    return tell("Mem_Free", Mem_Free(other));
}

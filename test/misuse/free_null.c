/* EXPECT: 0 "Mem_Free: 0 no error, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * Frees NULL, which is not a mistake. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell("Mem_Free", Mem_Free(NULL));
}

/* EXPECT: 0 "Mem_Free: 0 no error, heap unchanged" */
/* SPDX-License-Identifier: MIT
 * NULL: no mistake after all. */
#include "misuse.h"

int main(void)
{
    begin();
    return tell("Mem_Free", Mem_Free(NULL));
}

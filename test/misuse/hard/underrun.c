/* EXPECT: 134 "byte 31 of the object of 24 bytes" */
/* SPDX-License-Identifier: MIT
 * Writes the byte before an object, which is the last byte of another slot, and frees only the
 * object behind it.
 */
#include "hard.h"

int main(void)
{
    char *p[4000];
    for (int i = 0; i < 4000; i++)
        p[i] = get(malloc(24));
    for (int i = 0; i < 4000; i++) {
        char *behind = p[i] == p[0] + 32 ? p[i] : p[i] == p[0] - 32 ? p[0] : NULL;
        if (behind != NULL) {
            behind[-1] ^= 1;
            free(behind);
            return 0;
        }
    }
    return 0;
}

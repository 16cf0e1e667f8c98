/* SPDX-License-Identifier: MIT
 *
 * pack.c [-u] - packs standard input, or unpacks it (packed.h), for the corpus of `reader`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packed.h"

int main(int argc, char **argv)
{
    enum { MOST = 64 << 20 };
    int unpacks = argc == 2 && strcmp(argv[1], "-u") == 0;
    uint8_t *from = malloc(MOST), *to = malloc(MOST);
    if (argc > 1 + unpacks || from == NULL || to == NULL) {
        fprintf(stderr, "usage: pack [-u] <FILE >PACKED\n");
        return 2;
    }
    size_t n = fread(from, 1, MOST, stdin);
    n = unpacks ? unpack(from, n, to, MOST) : pack(from, n, to, MOST);
    int ok = n > 0 && fwrite(to, 1, n, stdout) == n && fflush(stdout) == 0;
    free(from);
    free(to);
    return !ok;
}

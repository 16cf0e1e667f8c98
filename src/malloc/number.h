/* SPDX-License-Identifier: MIT
 *
 * number.h - reads a number such as 512M: for the library, in LIBMEM, and for `mem run`, in the
 * options that it puts into LIBMEM.
 */
#ifndef NUMBER_H
#define NUMBER_H

#include "base/base.h"

/* Returns by how many bits a suffix of n characters (K, M or G, in upper or lower case, or none)
 * shifts a number, or -1 if it is unknown. */
static inline int number_shift(const char *suffix, size_t n)
{
    static const char suffixes[] = "KkMmGg";
    if (n == 0)
        return 0;
    const char *found = memchr(suffixes, suffix[0], sizeof suffixes - 1);
    return n > 1 || found == NULL ? -1 : 10 * (1 + (int)(found - suffixes) / 2);
}

/* Reads n characters as a decimal number from `least` > 0 to `most`, with such a suffix. Returns 0
 * if it is malformed or outside. */
static inline size_t number_read(const char *text, size_t n, size_t least, size_t most)
{
    size_t i = 0, number = 0;
    assert(least > 0 && least <= most && most <= SIZE_MAX / 16);
    for (; i < n && text[i] >= '0' && text[i] <= '9' && number <= most; i++)
        number = number * 10 + (size_t)(text[i] - '0');
    int shift = number_shift(text + i, n - i);
    if (i == 0 || shift < 0 || number > most >> shift)
        return 0;
    number <<= shift;
    assert(number <= most);
    return number >= least ? number : 0;
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * canary.c - writes canaries and looks at them. Invariants: canary.h.
 */
#include "malloc/canary.h"

/* Eight bytes at any address. */
typedef uint64_t __attribute__((may_alias, aligned(1))) any_word;

static uint64_t key[2];

void canary_open(const uint64_t secret[2])
{
    key[0] = secret[0];
    key[1] = secret[1] | 1; /* odd, so that to multiply by it loses no bit */
}

/* The lowest byte comes first in memory. */
static uint64_t word_for(const void *end, enum family family)
{
    uint64_t x = ((uintptr_t)end * NFAMILIES + family) ^ key[0];
    x *= key[1];
    x = (x ^ x >> 32) * key[1];
    return (x ^ x >> 32) << 8;
}

void canary_write(void *end, size_t slack, enum family family)
{
    unsigned char *to = end;
    size_t n = canary_length(slack);
    uint64_t word = word_for(end, family);
    for (; n >= sizeof word; n -= sizeof word, to += sizeof word)
        *(any_word *)to = word;
    memcpy(to, &word, n);
}

size_t canary_intact(const void *end, size_t slack, enum family family)
{
    const unsigned char *at = end;
    size_t n = canary_length(slack), i = 0;
    uint64_t word = word_for(end, family);
    const unsigned char *expected = (const unsigned char *)&word;
    while (n - i >= sizeof word && *(const any_word *)(at + i) == word)
        i += sizeof word;
    while (i < n && at[i] == expected[i % sizeof word])
        i++;
    return i;
}

size_t canary_kept(const void *end, size_t slack, enum family family)
{
    const unsigned char *at = end;
    size_t n = canary_length(slack), nkept = 0;
    uint64_t word = word_for(end, family);
    const unsigned char *expected = (const unsigned char *)&word;
    for (size_t i = 0; i < n; i++)
        nkept += at[i] == expected[i % sizeof word];
    return nkept;
}

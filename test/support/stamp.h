/* SPDX-License-Identifier: MIT
 *
 * stamp.h - objects whose content states their identity.
 *
 *     [id][id + 8]...[id + i at each i that is written]...[the last 8 bytes]
 *
 * In objects of up to 4 KiB each word is written, and in larger ones one word in 512 bytes:
 * enough for each page to have some, and few enough for a million heaps in a minute. Words are
 * copied by the compiler's own memcpy, since the tests of malloc are compiled with -fno-builtin.
 */
#ifndef STAMP_H
#define STAMP_H

#include "tap.h"

struct stamped {
    unsigned char *p;
    size_t n;
    uint64_t id;
};

static inline size_t stamp_step(size_t n)
{
    return n <= 4096 ? 8 : 512;
}

/* Never overlaps the first word, from which a thread that finds the object reads its identity. */
static inline size_t stamp_last(size_t n)
{
    return n < 16 ? 0 : n - 8;
}

static inline void stamp(const struct stamped *o)
{
    if (o->n < 8) {
        memset(o->p, (unsigned char)o->id, o->n);
        return;
    }
    for (size_t i = 0; i + 8 <= o->n; i += stamp_step(o->n)) {
        __builtin_memcpy(o->p + i, &(uint64_t){o->id + i}, 8);
    }
    __builtin_memcpy(o->p + stamp_last(o->n), &(uint64_t){o->id + stamp_last(o->n)}, 8);
}

static inline bool stamp_word_is(const struct stamped *o, size_t at)
{
    uint64_t word;
    __builtin_memcpy(&word, o->p + at, 8);
    return word == o->id + at;
}

/* Skips the next-to-last word if the last one overlaps it: the last word begins at n - 8, which
 * need not be a multiple of 8. */
static inline bool is_stamped(const struct stamped *o)
{
    if (o->n < 8) {
        return all_are(o->p, (unsigned char)o->id, o->n);
    }
    for (size_t i = 0; i + 16 <= o->n; i += stamp_step(o->n)) {
        if (!stamp_word_is(o, i)) {
            return false;
        }
    }
    return stamp_word_is(o, stamp_last(o->n));
}

/* Returns a size of 8 bytes to 8 << doublings: each doubling is equally likely, and its two ends
 * occur often. */
static inline size_t rnd_size(uint64_t *seed, unsigned doublings)
{
    uint32_t least = 8u << rnd(seed, doublings);
    return least + rnd(seed, least + 1);
}

#endif

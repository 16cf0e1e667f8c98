/* SPDX-License-Identifier: MIT
 *
 * damage.c - damages files at random: see damage.h.
 */
#include "damage.h"

#include <stdbool.h>
#include <string.h>

#include "heaps/header.h"

uint64_t damage_random(struct damage *d)
{
    d->state += 0x9E3779B97F4A7C15; /* Steele, Lea and Flood, "Fast splittable ...", 2014 */
    uint64_t z = d->state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}

size_t damage_below(struct damage *d, size_t n)
{
    return (size_t)(damage_random(d) % n);
}

void damage_find_headers(struct damage *d)
{
    d->nheaders = 0;
    for (size_t at = 0; at + sizeof(mem_heap) <= d->nbytes; at += HEAP_ALIGN) {
        const mem_heap *m = (const mem_heap *)(const void *)(d->bytes + at);
        if (m->magic != 0 && d->nheaders < NHOT && header_is_whole(m) && m->extras == 0)
            d->headers[d->nheaders++] = at;
    }
}

/* Changes a field of a header, and makes its checksum right again. */
static void forge(struct damage *d)
{
    enum { FIRST = offsetof(mem_heap, nbytes), END = offsetof(mem_heap, live_bytes) };
    size_t at = d->headers[damage_below(d, d->nheaders)];
    if (at + sizeof(mem_heap) > d->nbytes)
        return;
    mem_heap *m = (mem_heap *)(void *)(d->bytes + at);
    uint64_t word = damage_random(d) >> damage_below(d, 64);
    size_t width = (size_t)1 << damage_below(d, 4);
    memcpy((unsigned char *)m + FIRST + damage_below(d, (END - FIRST) / width) * width, &word,
           width);
    m->extras = 0;
    header_make_anew(m, &(struct mem_options){.flags = 0});
}

size_t damage_place(struct damage *d)
{
    enum { TRIES = 200, HEAD = 4096, NEAR = 512 };
    if (d->nhot > 0 && damage_below(d, 3) == 0) {
        size_t at = d->hot[damage_below(d, d->nhot)] + damage_below(d, NEAR);
        return at >= NEAR / 4 && at - NEAR / 4 < d->nbytes ? at - NEAR / 4 : 0;
    }
    if (damage_below(d, 4) == 0)
        return damage_below(d, d->nbytes < HEAD ? d->nbytes : HEAD);
    for (int i = 0; i < TRIES; i++) {
        size_t at = damage_below(d, d->nbytes);
        if (d->bytes[at] != 0)
            return at;
    }
    return damage_below(d, d->nbytes);
}

uint64_t damage_number(struct damage *d)
{
    static const uint64_t some[] = {0,        1,       UINT64_MAX,       UINT32_MAX,
                                    1u << 31, 1 << 16, UINT64_C(1) << 36};
    uint64_t word = 0;
    switch (damage_below(d, 4)) {
    case 0:
        return some[damage_below(d, sizeof some / sizeof *some)];
    case 1:
        return damage_random(d) >> damage_below(d, 64);
    default:
        memcpy(&word, d->bytes + damage_below(d, d->nbytes - 8) / 8 * 8, sizeof word);
        return word + damage_below(d, 33) - 16;
    }
}

void damage_once(struct damage *d)
{
    uint64_t word = damage_number(d);
    size_t at = damage_place(d), width = (size_t)1 << damage_below(d, 4);
    switch (damage_below(d, 9)) {
    case 8:
        if (d->nheaders > 0)
            forge(d);
        break;
    case 0:
    case 1:
        d->bytes[at] ^= (unsigned char)(1 << damage_below(d, 8));
        break;
    case 2:
        if (damage_below(d, 8) == 0)
            d->nbytes = at + 16 < d->nbytes ? at + 16 : d->nbytes;
        break;
    case 3: { /* a piece of it is copied elsewhere */
        size_t n = damage_below(d, 300), to = damage_place(d);
        if (at + n <= d->nbytes && to + n <= d->nbytes)
            memmove(d->bytes + to, d->bytes + at, n);
        break;
    }
    default:
        at = at / width * width;
        if (at + width <= d->nbytes)
            memcpy(d->bytes + at, &word, width);
    }
}

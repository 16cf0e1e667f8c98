/* SPDX-License-Identifier: MIT
 *
 * mutate.c - mutations of packed files: see mutate.h.
 */
#include "mutate.h"

#include "packed.h"

enum { WINDOW = 64 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

uint64_t hash_of(const uint8_t *data, size_t size)
{
    uint64_t hash = 0xCBF29CE484222325;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 0x100000001B3;
    return hash;
}

size_t mutate_packed(const struct unpacked *u, uint8_t *data, size_t size, size_t max_size,
                     unsigned seed)
{
    struct damage d = {.bytes = u->bytes, .state = seed};
    if (is_packed(data, size))
        d.nbytes = unpack(data, size, u->bytes, u->room);
    if (d.nbytes <= u->least)
        return LLVMFuzzerMutate(data, size, max_size);
    damage_find_headers(&d);
    if (damage_below(&d, 2) == 0) {
        size_t at = damage_place(&d), n = d.nbytes - at < WINDOW ? d.nbytes - at : WINDOW;
        (void)LLVMFuzzerMutate(u->bytes + at, n, n);
    } else
        for (size_t i = 1 + damage_below(&d, 3); i > 0 && d.nbytes > u->least; i--)
            damage_once(&d);
    if (u->mend != NULL)
        u->mend(&d);
    size_t n = pack(u->bytes, d.nbytes, data, max_size);
    return n > 0 ? n : size; /* what does not fit is as it was, up to there */
}

/* SPDX-License-Identifier: MIT
 *
 * packed.c - packs and unpacks files: see packed.h.
 */
#include "packed.h"

#include <stdbool.h>
#include <string.h>

struct record {
    uint32_t nzeros, nbytes;
};

bool is_packed(const uint8_t *data, size_t size)
{
    static const uint8_t elf[] = {0x7F, 'E', 'L', 'F'}, zstd[] = {0x28, 0xB5, 0x2F, 0xFD};
    return size >= sizeof(struct record) && memcmp(data, elf, sizeof elf) != 0 &&
           memcmp(data, zstd, sizeof zstd) != 0;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t unpack(const uint8_t *data, size_t size, uint8_t *to, size_t room)
{
    size_t at = 0, n = 0;
    struct record r;
    while (at + sizeof r <= size && n < room) {
        memcpy(&r, data + at, sizeof r);
        at += sizeof r;
        size_t nzeros = least(r.nzeros, room - n);
        memset(to + n, 0, nzeros);
        n += nzeros;
        size_t nbytes = least(least(r.nbytes, room - n), size - at);
        memcpy(to + n, data + at, nbytes);
        n += nbytes;
        at += nbytes;
    }
    return n;
}

/* Returns how many bytes from `at` on are 0. */
static size_t count_zeros(const uint8_t *file, size_t nbytes, size_t at)
{
    size_t n = 0;
    uint64_t word = 0;
    while (at + n + sizeof word <= nbytes && memcpy(&word, file + at + n, sizeof word) && word == 0)
        n += sizeof word;
    while (at + n < nbytes && file[at + n] == 0)
        n++;
    return n;
}

/* Returns how many bytes from `at` on are in one record: zeros end it if there are enough of them
 * to make a new one worth it. */
static size_t count_bytes(const uint8_t *file, size_t nbytes, size_t at)
{
    enum { WORTH = 2 * sizeof(struct record) };
    size_t n = 0;
    while (at + n < nbytes) {
        size_t nzeros = count_zeros(file, least(nbytes, at + n + WORTH), at + n);
        if (nzeros == WORTH)
            break;
        n += nzeros == 0 ? 1 : nzeros;
    }
    return n;
}

size_t pack(const uint8_t *file, size_t nbytes, uint8_t *to, size_t room)
{
    size_t at = 0, n = 0;
    while (at < nbytes) {
        struct record r;
        size_t nzeros = count_zeros(file, nbytes, at);
        size_t nheld = count_bytes(file, nbytes, at + nzeros);
        r = (struct record){(uint32_t)nzeros, (uint32_t)nheld};
        if (sizeof r + nheld > room - n)
            return 0;
        memcpy(to + n, &r, sizeof r);
        memcpy(to + n + sizeof r, file + at + nzeros, nheld);
        n += sizeof r + nheld;
        at += nzeros + nheld;
    }
    return n;
}

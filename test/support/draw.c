/* SPDX-License-Identifier: MIT
 *
 * draw.c - numbers of a seed or of bytes: see draw.h.
 */
#include "draw.h"

static uint64_t state;
static const uint8_t *next; /* NULL: numbers come from the state */
static size_t nleft;

void draw_from_seed(uint64_t seed)
{
    state = seed * 0x9E3779B97F4A7C15u + 1;
    next = NULL;
}

void draw_from_bytes(const uint8_t *bytes, size_t nbytes)
{
    static const uint8_t none;
    next = nbytes == 0 ? &none : bytes; /* libFuzzer has NULL for an empty file */
    nleft = nbytes;
}

static uint32_t take_byte(void)
{
    if (nleft == 0)
        return 0;
    nleft--;
    return *next++;
}

uint32_t draw(uint32_t below)
{
    if (next == NULL) {
        state ^= state << 13; /* Marsaglia, "Xorshift RNGs", 2003 */
        state ^= state >> 7;
        state ^= state << 17;
        return (uint32_t)((state >> 32) * below >> 32);
    }
    uint32_t n = 0;
    for (uint32_t most = below - 1; most > 0; most >>= 8)
        n = n << 8 | take_byte();
    return n % below;
}

bool draw_has_ended(void)
{
    return next != NULL && nleft == 0;
}

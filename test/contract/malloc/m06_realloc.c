/* SPDX-License-Identifier: MIT
 *
 * m06_realloc.c - an object that shrinks by realloc does not pin what it gives up [M6].
 *
 *     LIBMEM=region=64M LD_PRELOAD=libmem-malloc.so m06_realloc
 *
 * Each test takes large buffers, shrinks them and keeps what is left, so that the kept bytes are a
 * small part of the region, but the buffers together are many times as large. Where a shrunk object
 * stays at the low end of its buffer, the region soon has no place for another buffer.
 */
#include <stdlib.h>

#include "tap.h"

enum { MIB = 1 << 20, NKEPT = 20000 };
static unsigned char *kept[NKEPT];

/* Takes n buffers, of which `nflying` are held at a time, and shrinks each, when the next one has
 * been taken, to `size` bytes in `nsteps` equal ratios. Returns how many could be had. */
static int shrink_each(int n, int nflying, size_t buffer, size_t size, int nsteps)
{
    int i = 0;
    for (; i < n; i++) {
        kept[i] = opaque(malloc(buffer));
        if (kept[i] == NULL) {
            break;
        }
        kept[i][0] = (unsigned char)i;
        if (i < nflying) {
            continue;
        }
        unsigned char **old = &kept[i - nflying];
        for (int step = 1; step <= nsteps; step++) {
            size_t smaller = step == nsteps ? size : size + (buffer - size) / (2u << step);
            unsigned char *p = realloc(*old, smaller);
            if (p == NULL || p[0] != (unsigned char)(i - nflying)) {
                return -1;
            }
            *old = p;
        }
    }
    for (int k = 0; k < i; k++) {
        free(kept[k]);
    }
    return i;
}

/* A buffer that shrinks to just over half stays where it is, and its other half can be used by what
 * fits there. */
static int halve_each(int n, size_t buffer)
{
    int i = 0;
    for (; i < n && (kept[i] = opaque(malloc(buffer))) != NULL; i++) {
        kept[i] = realloc(kept[i], buffer / 2 + 64);
    }
    int had = i;
    while (i > 0) {
        free(kept[--i]);
    }
    return had;
}

int main(void)
{
    check(shrink_each(NKEPT, 1, MIB, 100, 1) == NKEPT, "M6 20,000 x 1 MiB, 100 bytes kept of each");
    check(shrink_each(NKEPT, 7, MIB, 100, 1) == NKEPT, "M6 likewise with 7 buffers in flight");
    check(shrink_each(200, 1, 16 * MIB, 150000, 1) == 200, "M6 200 x 16 MiB, 150,000 bytes kept");
    check(shrink_each(200, 1, 16 * MIB, 100000, 12) == 200, "M6 likewise in a dozen steps");
    check(shrink_each(5000, 3, 300000, 1000, 9) == 5000, "M6 5,000 x 300,000 in nine steps");
    check(halve_each(1000, MIB) >= 60, "M6 buffers that are halved: at most half is lost");
    return done();
}

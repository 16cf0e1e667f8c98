/* SPDX-License-Identifier: MIT
 *
 * What a program that has shrunk still has resident a second later [M6].
 *
 *     shrink [MIB]     how much it has before; 1024
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tap.h"

static size_t resident_mib(void)
{
    size_t total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        check(fscanf(file, "%zu %zu", &total, &resident) == 2, "statm can be read");
        fclose(file);
    }
    return resident * (size_t)sysconf(_SC_PAGESIZE) >> 20;
}

/* Objects of some size, freed in order or shuffled. */
static void grow_and_shrink(size_t mib, size_t nbytes, bool shuffled)
{
    uint64_t seed = nbytes;
    size_t n = (mib << 20) / nbytes;
    char **object = malloc(n * sizeof *object);
    for (size_t i = 0; i < n; i++) {
        object[i] = malloc(nbytes);
        memset(object[i], 1, nbytes);
    }
    size_t before = resident_mib();
    for (size_t i = 0; i < n; i++) {
        size_t other = shuffled ? i + rnd(&seed, (uint32_t)(n - i)) : i;
        char *p = object[other];
        object[other] = object[i];
        free(p);
    }
    free(object);
    sleep(1);
    size_t after = resident_mib();
    printf("# %zu bytes%s: %zu MiB, a second later %zu\n", nbytes, shuffled ? ", shuffled" : "",
           before, after);
    check(before >= mib && after < mib / 16, "M6 a sixteenth at most is left");
}

int main(int argc, char **argv)
{
    size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 1024;
    grow_and_shrink(mib, 256, false);
    grow_and_shrink(mib, 256, true);
    for (size_t nbytes = 32; nbytes <= 1 << 20; nbytes *= 18) {
        grow_and_shrink(mib, nbytes, true);
    }
    return done();
}

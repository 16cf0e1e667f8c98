/* SPDX-License-Identifier: MIT
 *
 * seed_heaps.c FOLDER - writes small heaps in buffers to the folder, packed (packed.h): the seeds
 * of the fuzz target `attach`.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem_heap.h"
#include "packed.h"

enum { LARGEST = (1 << 20) + (1 << 16), SLICE = 1 << 16 };

static const struct {
    const char *name;
    size_t nbytes;
    struct mem_options options;
} kinds[] = {
    {"smallest", 256, {.flags = MEM_SINGLE_THREADED}},
    {"plain", 1024, {.style = MEM_FIRST_FIT}},
    {"limit", 2048, {.limit = 1000, .flags = MEM_FILL_NEW | MEM_FILL_FREED}},
    {"check-calls", 4096, {.flags = MEM_CHECK_CALLS | MEM_SINGLE_THREADED}},
    {"trees", 60000, {.style = MEM_BEST_FIT}},
    {"slots", 16384, {.flags = MEM_SLOTS | MEM_SINGLE_THREADED}},
    {"slots-limit", 65536, {.flags = MEM_SLOTS | MEM_CHECK_CALLS, .limit = 60000}},
    {"slices", LARGEST, {.flags = 0}},
};

/* So that there are objects of several sizes, and holes. */
static void fill(mem_heap *heap, size_t nbytes)
{
    enum { MOST = 600 };
    static void *objects[MOST];
    size_t n = 0, most = nbytes < 50000 ? 60 : nbytes < 100000 ? MOST : 60;
    for (size_t size = 1; n < most && size < nbytes / 4; size = n % 40 == 39 ? 1 : size * 9 / 8 + 1)
        if ((objects[n++] = mem_alloc(heap, size)) == NULL)
            break;
    for (size_t i = 0; i < n; i += 3)
        (void)mem_free(heap, objects[i]);
}

int main(int argc, char **argv)
{
    static _Alignas(SLICE) uint8_t buffer[LARGEST], packed[LARGEST];
    char path[4096];
    if (argc != 2)
        errx(2, "usage: seed_heaps FOLDER");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        memset(buffer, 0, sizeof buffer);
        mem_heap *heap = mem_heap_in(buffer, kinds[i].nbytes, &kinds[i].options);
        if (heap == NULL)
            errx(2, "%s: %s", kinds[i].name, mem_strerror(mem_last_error()));
        fill(heap, kinds[i].nbytes);
        if (mem_heap_detach(heap) != MEM_OK)
            errx(2, "%s: %s", kinds[i].name, mem_strerror(mem_last_error()));
        size_t n = pack(buffer, kinds[i].nbytes, packed, sizeof packed);
        snprintf(path, sizeof path, "%s/%s", argv[1], kinds[i].name);
        FILE *f = fopen(path, "wb");
        if (f == NULL || fwrite(packed, 1, n, f) != n || fclose(f) != 0)
            err(2, "%s", path);
    }
    return 0;
}

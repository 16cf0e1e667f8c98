/* SPDX-License-Identifier: MIT
 *
 * Checks mem_find of libmem.so in a program whose malloc is that of libmem-malloc.so.
 */
#include <stdlib.h>

#include "mem_heap.h"
#include "tap.h"

enum { N = 1000 };

static bool finds(const void *address, const void *start, size_t size)
{
    struct mem_piece found;
    return mem_find(address, &found) == MEM_OK && found.live && found.start == start &&
           found.size == size && found.heap == NULL;
}

int main(void)
{
    struct mem_piece found;
    static char *object[N];
    bool all = true;
    for (size_t i = 0; i < N; i++) {
        object[i] = opaque(malloc(1 + i * i % 70001));
        all = all && finds(object[i] + i * i % 70001, object[i], 1 + i * i % 70001);
    }
    check(all, "any object of malloc, from its last byte");
    for (size_t i = 0; i < N; i += 2) {
        free(object[i]);
        all = all && (mem_find(object[i], &found) != MEM_OK || !found.live);
    }
    check(all, "it is not live any more when it has been freed");
    mem_heap *heap = mem_heap_in(object[701], 1 + 701 * 701 % 70001, NULL);
    char *p = mem_alloc(heap, 20);
    check(mem_find(p + 19, &found) == MEM_OK && found.heap == heap && found.start == p,
          "a heap in an object of malloc is asked before malloc's");
    check(mem_heap_destroy(heap) == MEM_OK && finds(p, object[701], 1 + 701 * 701 % 70001),
          "and no longer when it is gone");
    check(mem_find(&found, &found) == MEM_NOT_OURS, "an address on the stack is in no heap");
    return done();
}

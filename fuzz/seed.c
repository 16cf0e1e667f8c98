/* SPDX-License-Identifier: MIT
 *
 * seed.c - a program with a few objects in a heap of each kind, some of them lost, some in a heap
 * that lies in an object: snapshots of it are the seeds of `reader` (fuzz/seeds.sh). It waits until
 * standard input ends.
 */
#include <stdio.h>
#include <stdlib.h>

#include "mem.h"
#include "mem_heap.h"

struct node {
    struct node *next;
};

static _Alignas(65536) unsigned char buffer[65536];
static struct node *list;

/* Puts an object at the front of the list, if there is one. */
static void keep(void *object)
{
    struct node *first = object;
    if (first == NULL)
        return;
    first->next = list;
    list = first;
}

int main(void)
{
    struct mem_options slots = {.flags = MEM_SLOTS};
    for (size_t size = 16; size < 20000; size *= 3) {
        keep(malloc(size));
        free(malloc(size));
        *(void **)malloc(size + 8) = &list; /* it is lost, and begins with an address */
    }
    if (Mem_Init(32768) != 0)
        return 1;
    for (int size = 16; size < 3000; size *= 3) {
        keep(Mem_Alloc(size));
        Mem_Free(Mem_Alloc(size, FIRSTFIT));
    }
    mem_heap *heaps[] = {mem_heap_in(buffer, sizeof buffer, &slots),
                         mem_heap_in(Mem_Alloc(2048), 2048, NULL),
                         mem_heap_create(1 << 17, &slots)};
    for (size_t i = 0; i < sizeof heaps / sizeof *heaps; i++)
        for (size_t size = 8; size < 500; size *= 4) {
            keep(mem_alloc(heaps[i], size));
            mem_free(heaps[i], mem_alloc(heaps[i], size));
        }
    puts("ready");
    fflush(stdout);
    return getchar() != EOF;
}

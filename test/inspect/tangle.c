/* SPDX-License-Identifier: MIT
 *
 * tangle.c SEED COUNT - makes COUNT objects that point to each other at random, finds out which of
 * them it can reach by a precise search of its own, and prints the others, so that test/leaks.sh
 * can compare that with `mem leaks`.
 *
 *     lost ADDRESS SIZE
 *     ready
 *
 * The objects lie in malloc's heap, in a heap of its own, and in one that lies in an object. A
 * pointer goes to any byte of an object, at any multiple of 8 of another one; some that had to be
 * there are overwritten, and some objects are freed. The table of what points where holds numbers
 * and no addresses: those are inverted. The program waits until standard input ends.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem_heap.h"

enum { NROOTS = 40, NPOINTERS = 4, NOWHERE = -1 };

struct object {
    uintptr_t inverted;
    size_t size;
    bool is_live, is_reached;
    int pointers[NPOINTERS]; /* the objects that it points to */
};

void *roots[NROOTS];
mem_heap *own, *inner;
static struct object *objects;
static int nobjects, *queue, nqueued;
static uint64_t state;

static size_t below(size_t n)
{
    state += 0x9E3779B97F4A7C15;
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return (size_t)((z ^ z >> 31) % n);
}

static __attribute__((noinline)) void *address(int i)
{
    return (void *)~objects[i].inverted;
}

/* Most are small; all have room for their pointers. */
static size_t random_size(void)
{
    size_t most = below(50) == 0 ? 300000 : below(8) == 0 ? 5000 : 300;
    return NPOINTERS * sizeof(void *) + below(most);
}

static __attribute__((noinline)) void make(int i)
{
    struct object *o = &objects[i];
    o->size = random_size();
    mem_heap *heap = o->size > 400 ? NULL : below(6) == 0 ? own : below(6) == 0 ? inner : NULL;
    void *p = heap == NULL ? NULL : mem_alloc(heap, o->size);
    if (p == NULL)
        p = malloc(o->size);
    if (p == NULL)
        abort();
    memset(p, 0, o->size);
    o->inverted = ~(uintptr_t)p;
    o->is_live = true;
    for (int k = 0; k < NPOINTERS; k++)
        o->pointers[k] = NOWHERE;
}

/* Any byte of an object. */
static void *somewhere_in(int i)
{
    return (char *)address(i) + below(objects[i].size);
}

/* Pointer k has a place in the k-th part of the object. */
static __attribute__((noinline)) void link_objects(int from, int to, int k)
{
    size_t nwords = objects[from].size / sizeof(void *) / NPOINTERS;
    void **place = (void **)address(from) + (size_t)k * nwords;
    memset(place, 0, nwords * sizeof *place);
    place[below(nwords)] = somewhere_in(to);
    objects[from].pointers[k] = to;
}

static __attribute__((noinline)) void release(int i)
{
    void *p = address(i);
    if (mem_free(own, p) != MEM_OK && mem_free(inner, p) != MEM_OK)
        free(p);
    objects[i].is_live = false;
}

static void reach(int i)
{
    if (objects[i].is_live && !objects[i].is_reached) {
        objects[i].is_reached = true;
        queue[nqueued++] = i;
    }
}

static __attribute__((noinline)) void build(void)
{
    int root_of[NROOTS];
    size_t size = 256 << 10;
    own = mem_heap_create(4 << 20, NULL);
    inner = mem_heap_in(calloc(1, size), size, NULL);
    for (int i = 0; i < nobjects; i++)
        make(i);
    for (int i = 0; i < 2 * nobjects; i++)
        link_objects((int)below((size_t)nobjects), (int)below((size_t)nobjects),
                     (int)below(NPOINTERS));
    for (int i = 0; i < NROOTS; i++) {
        root_of[i] = (int)below((size_t)nobjects);
        roots[i] = somewhere_in(root_of[i]);
    }
    for (int i = 0; i < nobjects / 4; i++) { /* what pointed to these points nowhere now */
        int gone = (int)below((size_t)nobjects);
        if (objects[gone].is_live)
            release(gone);
    }
    for (int i = 0; i < NROOTS; i++)
        reach(root_of[i]);
    for (int i = 0; i < nqueued; i++)
        for (int k = 0; k < NPOINTERS; k++)
            if (objects[queue[i]].pointers[k] != NOWHERE)
                reach(objects[queue[i]].pointers[k]);
}

static __attribute__((noinline)) void clear_traces(void)
{
    char zeros[64 << 10], others[64 << 10];
    for (size_t n = 1; n <= sizeof zeros; n *= 2) {
        memset(zeros, 0, n);
        __asm__ volatile("" : : "r"(zeros) : "memory");
        memmove(others, zeros, n);
        __asm__ volatile("" : : "r"(others) : "memory");
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    state = strtoull(argv[1], NULL, 10);
    nobjects = atoi(argv[2]);
    objects = calloc((size_t)nobjects, sizeof *objects);
    queue = calloc((size_t)nobjects, sizeof *queue);
    static char output[BUFSIZ];
    setvbuf(stdout, output, _IOFBF, sizeof output);
    build();
    for (int i = 0; i < nobjects; i++)
        if (objects[i].is_live && !objects[i].is_reached)
            printf("lost 0x%lx %zu\n", (unsigned long)~objects[i].inverted, objects[i].size);
    printf("ready\n");
    fflush(stdout);
    memset(output, 0, sizeof output);
    clear_traces();
    char byte;
    while (read(STDIN_FILENO, &byte, 1) != 0)
        ;
    printf("alive\n");
    return 0;
}

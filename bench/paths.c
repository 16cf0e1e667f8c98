/* SPDX-License-Identifier: MIT
 *
 * paths.c - each path through the library that programs take often, in a loop of its own.
 * test/instructions.sh counts the instructions.
 *
 *     paths list       prints the name of each path, and the library that it belongs to
 *     paths NAME N     takes the path N times
 *
 *   P1  Each run makes the same calls in the same order. A run of 2N operations therefore
 *       differs from a run of N by N operations and nothing else.
 *   P2  Only instructions of the library are counted, so the loops themselves cost nothing.
 *       The loops do not write to the objects, since counting is slow enough without that.
 *   P3  A call that fails ends the program.
 */
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "mem_heap.h"

enum { NBATCH = 1000, NHOLES = NBATCH };
enum { KIB = 1 << 10, MIB = 1 << 20 };

static void *objects[NBATCH];
static int sizes[NBATCH];

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "paths: %s\n", what);
    exit(1);
}

static void *sure(void *object)
{
    must(object != NULL, "no memory");
    return object;
}

/* Marsaglia, "Xorshift RNGs", 2003. The seed is any number but 0. */
static uint64_t draw(void)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    return x ^= x << 17;
}

static size_t draw_between(size_t least, size_t most)
{
    return least + (size_t)(draw() >> 32) % (most - least + 1);
}

/* --- malloc ------------------------------------------------------------------ */

static void pairs(size_t nbytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(sure(malloc(nbytes)));
}

static void pair_64(size_t n)
{
    pairs(64, n);
}

static void pair_1k(size_t n)
{
    pairs(1 * KIB, n);
}

static void pair_4k(size_t n)
{
    pairs(4 * KIB, n);
}

static void pair_32k(size_t n)
{
    pairs(32 * KIB, n);
}

/* Objects that are too large for a slot; they are chunks in the ledger. */
static void pair_100k(size_t n)
{
    pairs(100 * KIB, n);
}

static void batch_64(size_t n)
{
    for (size_t done = 0; done < n; done += NBATCH) {
        for (size_t i = 0; i < NBATCH; i++)
            objects[i] = sure(malloc(64));
        for (size_t i = 0; i < NBATCH; i++)
            free(objects[i]);
    }
}

static void replace(size_t n)
{
    for (size_t i = 0; i < NBATCH; i++)
        objects[i] = sure(malloc(draw_between(16, 512)));
    for (size_t i = 0; i < n; i++) {
        size_t at = draw_between(0, NBATCH - 1);
        free(objects[at]);
        objects[at] = sure(malloc(draw_between(16, 512)));
    }
}

static void calloc_64(size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(sure(calloc(4, 16)));
}

static void aligned_64(size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(sure(aligned_alloc(64, 64)));
}

static void realloc_in_place(size_t n)
{
    void *object = sure(malloc(100)), *first = object;
    for (size_t i = 0; i < n; i++)
        object = sure(realloc(object, i % 2 == 0 ? 99 : 100));
    must(object == first, "realloc has moved the object");
}

static void usable_size(size_t n)
{
    void *object = sure(malloc(100));
    for (size_t i = 0; i < n; i++)
        must(malloc_usable_size(object) >= 100, "an object is too small");
}

static sem_t given, gone;

/* The thread that frees. It never allocates. */
static void *freer(void *rounds)
{
    for (size_t i = 0; i < *(size_t *)rounds; i++) {
        sem_wait(&given);
        for (size_t j = 0; j < NBATCH; j++)
            free(objects[j]);
        sem_post(&gone);
    }
    return NULL;
}

/* One thread allocates a batch and another thread frees it, in turns. */
static void free_of_another(size_t n)
{
    pthread_t thread;
    size_t rounds = n / NBATCH;
    sem_init(&given, 0, 0);
    sem_init(&gone, 0, 0);
    must(pthread_create(&thread, NULL, freer, &rounds) == 0, "no thread");
    for (size_t i = 0; i < rounds; i++) {
        for (size_t j = 0; j < NBATCH; j++)
            objects[j] = sure(malloc(64));
        sem_post(&given);
        sem_wait(&gone);
    }
    pthread_join(thread, NULL);
}

/* --- the classic heap -------------------------------------------------------- */

static MemNodePtr last_free(size_t *nfree)
{
    MemNodePtr last = m_free_list;
    for (*nfree = 1; last->next != NULL; last = last->next)
        ++*nfree;
    return last;
}

/* Allocates one object that takes all free memory behind the last hole. Otherwise that would
 * be the largest hole, and worst fit would always choose it. */
static void plug(void)
{
    size_t nfree;
    int nbytes = last_free(&nfree)->size;
    while (Mem_Alloc(nbytes, WORSTFIT) == NULL) {
        must(nbytes > 16, "no plug fits");
        nbytes -= 16;
    }
}

/*     [obj 0]( hole )[obj 1]( hole ) ... [obj 999]( hole )[ plug ]   */
static void make_holes(int nbytes)
{
    static void *holes[NHOLES];
    size_t nfree;
    must(Mem_Init(nbytes) == 0, "no region");
    for (size_t i = 0; i < NHOLES; i++) {
        sizes[i] = (int)draw_between(1, 32);
        objects[i] = sure(Mem_Alloc(sizes[i], FIRSTFIT));
        holes[i] = sure(Mem_Alloc((int)draw_between(16, 128), FIRSTFIT));
    }
    plug();
    for (size_t i = 0; i < NHOLES; i++)
        must(Mem_Free(holes[i]) == 0, "a hole is not free");
    last_free(&nfree);
    /* One more if the plug has left a rest of the tail. */
    must(nfree == NHOLES || nfree == NHOLES + 1, "the number of holes is wrong");
}

static void fit(int style, int nbytes, size_t n)
{
    make_holes(nbytes);
    for (size_t i = 0; i < n; i++)
        must(Mem_Free(sure(Mem_Alloc((int)draw_between(1, 96), style))) == 0, "no object");
}

/* Eight objects stay live. Otherwise each allocation would make a span, and each free would
 * give it back. */
static void any(int nbytes, size_t n)
{
    must(Mem_Init(nbytes) == 0, "no region");
    for (size_t i = 0; i < 8; i++)
        objects[i] = sure(Mem_Alloc(64));
    for (size_t i = 0; i < n; i++)
        must(Mem_Free(sure(Mem_Alloc(64))) == 0, "no object");
}

/* An object of its size comes and goes alone, without a style or with one [C15]. */
static void any_alone(size_t n)
{
    must(Mem_Init(64 * MIB) == 0, "no region");
    for (size_t i = 0; i < n; i++)
        must(Mem_Free(sure(Mem_Alloc(4))) == 0, "no object");
}

static void best_alone(size_t n)
{
    must(Mem_Init(64 * MIB) == 0, "no region");
    for (size_t i = 0; i < n; i++)
        must(Mem_Free(sure(Mem_Alloc(4, BESTFIT))) == 0, "no object");
}

static void get_size(int nbytes, size_t n)
{
    make_holes(nbytes);
    for (size_t i = 0; i < n; i++) {
        size_t at = draw_between(0, NHOLES - 1);
        must(Mem_GetSize((char *)objects[at] + sizes[at] / 2) == sizes[at], "another size");
    }
}

static void first_small(size_t n)
{
    fit(FIRSTFIT, 256 * KIB, n);
}

static void best_small(size_t n)
{
    fit(BESTFIT, 256 * KIB, n);
}

static void worst_small(size_t n)
{
    fit(WORSTFIT, 256 * KIB, n);
}

static void any_small(size_t n)
{
    any(256 * KIB, n);
}

static void get_size_small(size_t n)
{
    get_size(256 * KIB, n);
}

static void first_large(size_t n)
{
    fit(FIRSTFIT, 64 * MIB, n);
}

static void best_large(size_t n)
{
    fit(BESTFIT, 64 * MIB, n);
}

static void worst_large(size_t n)
{
    fit(WORSTFIT, 64 * MIB, n);
}

static void any_large(size_t n)
{
    any(64 * MIB, n);
}

static void get_size_large(size_t n)
{
    get_size(64 * MIB, n);
}

/* --- heaps of one's own -------------------------------------------------------- */

static mem_heap *heap_of(size_t nbytes, unsigned flags)
{
    static _Alignas(64 * KIB) unsigned char memory[4 * MIB];
    return sure(mem_heap_in(memory, nbytes, &(struct mem_options){.flags = flags}));
}

/* Frees the object in one of 64 places, chosen at random, and allocates another. */
static void own(size_t nbytes, unsigned flags, size_t n)
{
    enum { NLIVE = 64 };
    mem_heap *h = heap_of(nbytes, flags);
    for (size_t i = 0; i < NLIVE; i++)
        objects[i] = sure(mem_alloc(h, draw_between(1, 256)));
    for (size_t i = 0; i < n; i++) {
        size_t at = draw_between(0, NLIVE - 1);
        must(mem_free(h, objects[at]) == MEM_OK, "no object");
        objects[at] = sure(mem_alloc(h, draw_between(1, 256)));
    }
}

static void own_chunks(size_t n)
{
    own(64 * KIB, MEM_SINGLE_THREADED, n);
}

static void own_slots(size_t n)
{
    own(64 * KIB, MEM_SINGLE_THREADED | MEM_SLOTS, n);
}

static void own_large(size_t n)
{
    own(4 * MIB, MEM_SINGLE_THREADED, n);
}

static void own_locked(size_t n)
{
    own(4 * MIB, 0, n);
}

static void find(size_t n)
{
    struct mem_piece found;
    char *object = sure(mem_alloc(heap_of(4 * MIB, 0), 100));
    for (size_t i = 0; i < n; i++)
        must(mem_find(object + i % 100, &found) == MEM_OK && found.size == 100, "no object");
}

static void find_in(size_t n)
{
    struct mem_piece found;
    mem_heap *h = heap_of(4 * MIB, 0);
    char *object = sure(mem_alloc(h, 100));
    for (size_t i = 0; i < n; i++)
        must(mem_find_in(h, object + i % 100, &found) == MEM_OK && found.size == 100, "no object");
}

/* --- the table --------------------------------------------------------------- */

#define MALLOC "libmem-malloc.so"
#define MEM    "libmem.so"

static const struct path {
    const char *name, *library;
    void (*run)(size_t n);
} paths[] = {
    {"pair-64", MALLOC, pair_64},
    {"pair-1k", MALLOC, pair_1k},
    {"pair-4k", MALLOC, pair_4k},
    {"pair-32k", MALLOC, pair_32k},
    {"pair-100k", MALLOC, pair_100k},
    {"batch-64", MALLOC, batch_64},
    {"replace", MALLOC, replace},
    {"calloc-64", MALLOC, calloc_64},
    {"aligned-64", MALLOC, aligned_64},
    {"realloc-in-place", MALLOC, realloc_in_place},
    {"usable-size", MALLOC, usable_size},
    {"free-of-another", MALLOC, free_of_another},
    {"first-small", MEM, first_small},
    {"best-small", MEM, best_small},
    {"worst-small", MEM, worst_small},
    {"any-small", MEM, any_small},
    {"get-size-small", MEM, get_size_small},
    {"first-large", MEM, first_large},
    {"best-large", MEM, best_large},
    {"worst-large", MEM, worst_large},
    {"any-large", MEM, any_large},
    {"get-size-large", MEM, get_size_large},
    {"any-alone", MEM, any_alone},
    {"best-alone", MEM, best_alone},
    {"own-chunks", MEM, own_chunks},
    {"own-slots", MEM, own_slots},
    {"own-large", MEM, own_large},
    {"own-locked", MEM, own_locked},
    {"find", MEM, find},
    {"find-in", MEM, find_in},
};
enum { NPATHS = sizeof paths / sizeof *paths };

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (size_t i = 0; i < NPATHS; i++)
            printf("%s %s\n", paths[i].name, paths[i].library);
        return 0;
    }
    must(argc == 3, "usage: paths list, or paths NAME N");
    for (size_t i = 0; i < NPATHS; i++)
        if (strcmp(paths[i].name, argv[1]) == 0) {
            paths[i].run(strtoul(argv[2], NULL, 10));
            return 0;
        }
    must(false, "no such path: paths list prints the names");
}

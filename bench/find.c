/* SPDX-License-Identifier: MIT
 *
 * find.c - measures how long it takes to find the object that an address lies in, with
 * mem_find, which searches all heaps; with mem_find_in, which searches a given heap; and with
 * GC_base of the Boehm collector, if that is installed (-DWITH_GC). Prints CSV.
 *
 *     find [SECONDS]     the length of each measurement, approximately (0.05)
 *
 * There are N objects of 16 to 256 bytes, in a heap of 8 GiB. Hot: the same 64 addresses are
 * looked up again and again. Cold: each address lies in an object chosen at random. The
 * lookups take turns in each round; the median and the least of all rounds are printed.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../include/mem_heap.h"
#ifdef WITH_GC
#include <gc.h>
#endif

enum { NOBJECTS_MAX = 10000000, NROUNDS = 7, NHOT = 64, NASKED = 1 << 20 };

static mem_heap *heap;
static volatile size_t sink; /* keeps the compiler from removing the lookups */

static uint64_t dice = 88172645463325252;
static size_t rnd(size_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (size_t)((dice >> 32) * below >> 32);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* --- the lookups ------------------------------------------------------------------ */

static void *take_libmem(size_t size)
{
    return mem_alloc(heap, size);
}

static size_t ask_mem_find(char *const *address, size_t n)
{
    size_t sum = 0;
    struct mem_piece found;
    for (size_t i = 0; i < n; i++)
        sum += mem_find(address[i], &found) == MEM_OK ? (size_t)found.start : 1;
    return sum;
}

static size_t ask_mem_find_in(char *const *address, size_t n)
{
    size_t sum = 0;
    struct mem_piece found;
    for (size_t i = 0; i < n; i++)
        sum += mem_find_in(heap, address[i], &found) == MEM_OK ? (size_t)found.start : 1;
    return sum;
}

#ifdef WITH_GC
static void *take_gc(size_t size)
{
    return GC_malloc_atomic(size);
}

static size_t ask_gc_base(char *const *address, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (size_t)GC_base(address[i]);
    return sum;
}
#endif

static struct lookup {
    const char *name;
    void *(*take)(size_t size);
    size_t (*ask)(char *const *address, size_t n); /* returns the sum of what was found */
    char **object;                                 /* the start of each object */
    char **asked;                                  /* the addresses to look up */
    size_t expected;                               /* the sum that ask must return */
    double ns[2][NROUNDS];
} lookups[] = {
    {.name = "mem_find", .take = take_libmem, .ask = ask_mem_find},
    {.name = "mem_find_in", .take = take_libmem, .ask = ask_mem_find_in},
#ifdef WITH_GC
    {.name = "GC_base", .take = take_gc, .ask = ask_gc_base},
#endif
};
enum { NLOOKUPS = sizeof lookups / sizeof lookups[0] };

/* --- measuring ------------------------------------------------------------------- */

static void *need(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "find: no memory for the objects or the tables\n");
        exit(1);
    }
    return memory;
}

/* Draws n addresses, each in the first 16 bytes of one of the nobjects objects, and computes
 * what the results must add up to. The rest of the array repeats these addresses. */
static void choose(struct lookup *l, size_t nobjects, size_t n)
{
    l->expected = 0;
    for (size_t i = 0; i < NASKED; i++) {
        size_t k = i < n ? rnd(nobjects) : 0;
        char *start = l->object[k];
        l->asked[i] = i < n ? start + rnd(16) : l->asked[i % n];
        if (i < n)
            l->expected += (size_t)start;
    }
}

static double measure(struct lookup *l, size_t n, double seconds)
{
    size_t nasked = 0;
    double start = now_ns(), end;
    do {
        sink = l->ask(l->asked, n == NHOT ? NASKED / 8 / NHOT * NHOT : n);
        nasked += n == NHOT ? NASKED / 8 / NHOT * NHOT : n;
        end = now_ns();
    } while (end - start < seconds * 1e9);
    return (end - start) / (double)nasked;
}

static void round_of(struct lookup *l, size_t nobjects, int round, double seconds)
{
    for (int cold = 0; cold < 2; cold++) {
        size_t n = cold ? NASKED : NHOT;
        choose(l, nobjects, n);
        if (l->ask(l->asked, n) != l->expected) {
            fprintf(stderr, "find: %s does not find the right objects\n", l->name);
            exit(1);
        }
        l->ns[cold][round] = measure(l, n, seconds);
    }
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void print(struct lookup *l, size_t nobjects)
{
    for (int cold = 0; cold < 2; cold++) {
        qsort(l->ns[cold], NROUNDS, sizeof(double), by_value);
        printf("%zu,%s,%s,%.2f,%.2f\n", nobjects, cold ? "cold" : "hot", l->name,
               l->ns[cold][NROUNDS / 2], l->ns[cold][0]);
    }
    fflush(stdout);
}

static void grow(struct lookup *l, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        l->object[i] = need(l->take(16 + rnd(241)));
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.05;
    heap = need(mem_heap_create((size_t)8 << 30, NULL));
#ifdef WITH_GC
    GC_INIT();
    GC_disable();
#endif
    for (int i = 0; i < NLOOKUPS; i++) {
        lookups[i].object = need(malloc(NOBJECTS_MAX * sizeof(char *)));
        lookups[i].asked = need(malloc(NASKED * sizeof(char *)));
    }
    printf("objects,addresses,lookup,ns_median,ns_least\n");
    for (size_t n = 1000, had = 0; n <= NOBJECTS_MAX; had = n, n *= 10) {
        for (int i = 0; i < NLOOKUPS; i++)
            grow(&lookups[i], had, n);
        for (int round = 0; round < NROUNDS; round++)
            for (int i = 0; i < NLOOKUPS; i++)
                round_of(&lookups[i], n, round, seconds);
        for (int i = 0; i < NLOOKUPS; i++)
            print(&lookups[i], n);
    }
    return 0;
}

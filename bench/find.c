/* SPDX-License-Identifier: MIT
 *
 * find.c - how long it takes to tell which object an address lies in: mem_find, which
 * knows all heaps, mem_find_in, which is told the heap, and GC_base of the Boehm
 * collector, if there is one (-DWITH_GC). Prints CSV.
 *
 *     find [SECONDS]     of each measurement, about
 *
 * N objects of 16 to 256 bytes, in a heap of 8 GiB; addresses anywhere in them. Hot: a
 * few that are asked for again and again. Cold: one in any object each time. The three
 * take turns, several rounds; the median of these is told, and the least.
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
static volatile size_t sink; /* so that no lookup is left out */

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

/* --- who is asked ----------------------------------------------------------------- */

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

static struct who {
    const char *name;
    void *(*take)(size_t size);
    size_t (*ask)(char *const *address, size_t n);
    char **object; /* where each object is */
    char **asked;
    size_t expected;
    double ns[2][NROUNDS];
} whos[] = {
    {.name = "mem_find", .take = take_libmem, .ask = ask_mem_find},
    {.name = "mem_find_in", .take = take_libmem, .ask = ask_mem_find_in},
#ifdef WITH_GC
    {.name = "GC_base", .take = take_gc, .ask = ask_gc_base},
#endif
};
enum { NWHOS = sizeof whos / sizeof whos[0] };

/* --- measuring ------------------------------------------------------------------- */

static void *need(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "find: no memory\n");
        exit(1);
    }
    return memory;
}

/* Addresses in objects from the first `n`, and what all answers together have to be. */
static void choose(struct who *w, size_t nobjects, size_t n)
{
    w->expected = 0;
    for (size_t i = 0; i < NASKED; i++) {
        size_t k = i < n ? rnd(nobjects) : 0;
        char *start = w->object[k];
        w->asked[i] = i < n ? start + rnd(16) : w->asked[i % n];
        if (i < n)
            w->expected += (size_t)start;
    }
}

static double measure(struct who *w, size_t n, double seconds)
{
    size_t nasked = 0;
    double start = now_ns(), end;
    do {
        sink = w->ask(w->asked, n == NHOT ? NASKED / 8 / NHOT * NHOT : n);
        nasked += n == NHOT ? NASKED / 8 / NHOT * NHOT : n;
        end = now_ns();
    } while (end - start < seconds * 1e9);
    return (end - start) / (double)nasked;
}

static void round_of(struct who *w, size_t nobjects, int round, double seconds)
{
    for (int cold = 0; cold < 2; cold++) {
        size_t n = cold ? NASKED : NHOT;
        choose(w, nobjects, n);
        if (w->ask(w->asked, n) != w->expected) {
            fprintf(stderr, "find: %s: wrong answers\n", w->name);
            exit(1);
        }
        w->ns[cold][round] = measure(w, n, seconds);
    }
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void print(struct who *w, size_t nobjects)
{
    for (int cold = 0; cold < 2; cold++) {
        qsort(w->ns[cold], NROUNDS, sizeof(double), by_value);
        printf("%zu,%s,%s,%.2f,%.2f\n", nobjects, cold ? "cold" : "hot", w->name,
               w->ns[cold][NROUNDS / 2], w->ns[cold][0]);
    }
    fflush(stdout);
}

static void grow(struct who *w, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        w->object[i] = need(w->take(16 + rnd(241)));
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.05;
    heap = need(mem_heap_create((size_t)8 << 30, NULL));
#ifdef WITH_GC
    GC_INIT();
    GC_disable();
#endif
    for (int i = 0; i < NWHOS; i++) {
        whos[i].object = need(malloc(NOBJECTS_MAX * sizeof(char *)));
        whos[i].asked = need(malloc(NASKED * sizeof(char *)));
    }
    printf("objects,addresses,who,ns_median,ns_least\n");
    for (size_t n = 1000, had = 0; n <= NOBJECTS_MAX; had = n, n *= 10) {
        for (int i = 0; i < NWHOS; i++)
            grow(&whos[i], had, n);
        for (int round = 0; round < NROUNDS; round++)
            for (int i = 0; i < NWHOS; i++)
                round_of(&whos[i], n, round, seconds);
        for (int i = 0; i < NWHOS; i++)
            print(&whos[i], n);
    }
    return 0;
}

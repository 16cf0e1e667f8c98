/* SPDX-License-Identifier: MIT
 *
 * bounded.c - counts the instructions of each call on a single-threaded heap in a buffer: the
 * mean of all calls, and the most of any call. Prints CSV.
 *
 *     bounded [CALLS] [TLSF.so]
 *
 *     CALLS     the number of calls in each measurement (300)
 *     TLSF.so   a library with tlsf_create_with_pool, tlsf_malloc and tlsf_free, to compare
 *
 *     child     signal | call | signal | signal | call | signal | ...
 *     parent           counts                  counts
 *
 * A child process makes the calls. Before and after each call it sends itself a signal, at
 * which it stops. Between these two signals the parent process executes the child one
 * instruction at a time (ptrace), and counts. The counts are exact, and the same in each run. A
 * child that makes no call shows what the signals add; that is subtracted.
 *
 * Each call chooses one of N places at random. It frees the object there or, if there is none,
 * allocates one of random size. So half of the places have an object on average.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../include/mem_heap.h"

enum { HEAP_MAX = 16 << 20, NPLACES_MAX = 1 << 18, MEASURED = SIGUSR1 };

static _Alignas(1 << 16) unsigned char memory[HEAP_MAX];
static void *place[NPLACES_MAX];

static uint64_t dice;
static size_t rnd(size_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (size_t)((dice >> 32) * below >> 32);
}

/* --- heaps ------------------------------------------------------------------------ */

static mem_heap *heap;
static void *tlsf;
static void *(*tlsf_open)(void *, size_t);
static void *(*tlsf_take)(void *, size_t);
static void (*tlsf_give)(void *, void *);

static void open_plain(size_t nbytes)
{
    heap = mem_heap_in(memory, nbytes, &(struct mem_options){.flags = MEM_SINGLE_THREADED});
}
static void open_slots(size_t nbytes)
{
    const struct mem_options o = {.flags = MEM_SINGLE_THREADED | MEM_SLOTS};
    heap = mem_heap_in(memory, nbytes, &o);
}
static void open_tlsf(size_t nbytes)
{
    tlsf = tlsf_open(memory, nbytes);
}
static void *take_mem(size_t size)
{
    return mem_alloc(heap, size);
}
static void give_mem(void *object)
{
    (void)mem_free(heap, object);
}
static void *take_tlsf(size_t size)
{
    return tlsf_take(tlsf, size);
}
static void give_tlsf(void *object)
{
    tlsf_give(tlsf, object);
}
static void *take_none(size_t size)
{
    return memory + size;
}
static void give_none(void *object)
{
    (void)object;
}
static void open_none(size_t nbytes)
{
    (void)nbytes;
}

static const struct kind {
    const char *name;
    void (*open)(size_t nbytes);
    void *(*take)(size_t size);
    void (*give)(void *object);
} none = {"none", open_none, take_none, give_none},
  kinds[] = {{"slots", open_slots, take_mem, give_mem},
             {"chunks", open_plain, take_mem, give_mem},
             {"tlsf", open_tlsf, take_tlsf, give_tlsf}};
enum { TLSF = 2, NKINDS = sizeof kinds / sizeof kinds[0] };

static bool find_tlsf(const char *library)
{
    void *l = dlopen(library, RTLD_NOW);
    if (l == NULL)
        return false;
    *(void **)&tlsf_open = dlsym(l, "tlsf_create_with_pool");
    *(void **)&tlsf_take = dlsym(l, "tlsf_malloc");
    *(void **)&tlsf_give = dlsym(l, "tlsf_free");
    return tlsf_open != NULL && tlsf_take != NULL && tlsf_give != NULL;
}

/* --- the calls --------------------------------------------------------------------- */

struct work {
    size_t heap_bytes, size_max, nplaces;
};

static unsigned long nrefused;

__attribute__((noinline)) static void call(const struct kind *k, const struct work *w)
{
    void **p = &place[rnd(w->nplaces)];
    size_t size = 1 + rnd(w->size_max);
    if (*p != NULL) {
        k->give(*p);
        *p = NULL;
    } else if ((*p = k->take(size)) == NULL) {
        nrefused++;
    }
}

/* Opens the heap and makes calls in it, until half of the places have had an object for a
 * while. The random numbers begin anew, so each measurement makes the same calls. */
static void prepare(const struct kind *k, const struct work *w)
{
    memset(place, 0, w->nplaces * sizeof place[0]);
    dice = 88172645463325252;
    k->open(w->heap_bytes);
    for (size_t i = 0; i < 8 * w->nplaces; i++)
        call(k, w);
    nrefused = 0;
}

/* --- counting ---------------------------------------------------------------------- */

/* Called in the child process. Its exit status is the number of allocations that failed. */
static void be_measured(const struct kind *k, const struct work *w, long ncalls)
{
    prepare(k, w);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    for (long i = 0; i < ncalls; i++) {
        raise(MEASURED);
        call(k, w);
        raise(MEASURED);
    }
    _exit(nrefused > 250 ? 250 : (int)nrefused);
}

struct counted {
    double mean;
    long most, calls, refused;
};

/* Counts the instructions of one call: from the child's signal before it, at which the child
 * has stopped, to the signal after it. Returns false if the child has ended. */
static bool count_one(pid_t child, long *nsteps)
{
    int status;
    *nsteps = 0;
    for (;; ++*nsteps) {
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 || waitpid(child, &status, 0) < 0 ||
            !WIFSTOPPED(status))
            return false;
        if (WSTOPSIG(status) == MEASURED)
            return true;
    }
}

/* Starts a child process, and counts the instructions of ncalls calls. */
static struct counted count(const struct kind *k, const struct work *w, long ncalls)
{
    struct counted c = {0};
    double sum = 0;
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        be_measured(k, w, ncalls);
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        long n;
        if (!count_one(child, &n))
            break;
        c.calls++;
        sum += (double)n;
        c.most = n > c.most ? n : c.most;
        ptrace(PTRACE_CONT, child, NULL, NULL);
    }
    c.mean = c.calls > 0 ? sum / (double)c.calls : 0;
    c.refused = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return c;
}

/* --- time -------------------------------------------------------------------------- */

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double time_ns(const struct kind *k, const struct work *w, long ncalls)
{
    prepare(k, w);
    double from = now_ns();
    for (long i = 0; i < ncalls; i++)
        call(k, w);
    return (now_ns() - from) / (double)ncalls;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Measures the time of a call without counting. The heaps take turns in each round; median[k]
 * is the median of all rounds, less the time of a call that does nothing. */
static void time_all(const struct work *w, int nkinds, long ncalls, double *median)
{
    enum { NROUNDS = 7 };
    double ns[NKINDS][NROUNDS], empty[NROUNDS];
    for (int r = 0; r < NROUNDS; r++) {
        empty[r] = time_ns(&none, w, ncalls);
        for (int k = 0; k < nkinds; k++)
            ns[k][r] = time_ns(&kinds[k], w, ncalls);
    }
    qsort(empty, NROUNDS, sizeof empty[0], by_value);
    for (int k = 0; k < nkinds; k++) {
        qsort(ns[k], NROUNDS, sizeof ns[k][0], by_value);
        median[k] = ns[k][NROUNDS / 2] - empty[NROUNDS / 2];
    }
}

enum { NROWS = 12 };

static void measure(size_t heap_bytes, size_t size_max, unsigned part, long ncalls, int nkinds)
{
    /* Half of the places have an object, of size_max / 2 on average. 4 * heap_bytes / part /
     * size_max places therefore keep a `part`-th of the heap live. */
    struct work w = {heap_bytes, size_max, 4 * heap_bytes / part / size_max};
    double ns[NKINDS];
    static int nrows;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%d of %d ", nrows++, NROWS);
    struct counted nothing = count(&none, &w, ncalls < 1000 ? ncalls : 1000);
    time_all(&w, nkinds, 1000 * ncalls, ns);
    for (int k = 0; k < nkinds; k++) {
        struct counted c = count(&kinds[k], &w, ncalls);
        printf("%s,%zu,%zu,%u,%zu,%ld,%.0f,%ld,%.1f,%ld\n", kinds[k].name, heap_bytes, size_max,
               100 / part, w.nplaces / 2, c.calls, c.mean - nothing.mean,
               c.most - (long)nothing.mean, ns[k], c.refused);
    }
}

int main(int argc, char **argv)
{
    long ncalls = argc > 1 ? atol(argv[1]) : 300;
    if (argc > 2 && !find_tlsf(argv[2])) {
        fprintf(stderr,
                "bounded: %s cannot be loaded, or has no tlsf_create_with_pool, tlsf_malloc and "
                "tlsf_free\n",
                argv[2]);
        return 2;
    }
    int nkinds = argc > 2 ? NKINDS : TLSF;
    puts("heap,bytes,size_max,live_percent,objects,calls,mean,most,ns,refused");
    for (size_t size_max = 64; size_max <= 512; size_max *= 2)
        for (unsigned part = 4; part >= 2; part /= 2)
            measure(64 << 10, size_max, part, ncalls, nkinds);
    for (size_t nbytes = 256 << 10; nbytes <= HEAP_MAX; nbytes *= 4)
        measure(nbytes, 256, 4, ncalls, nkinds);
    if (isatty(STDERR_FILENO))
        fputs("\r          \r", stderr);
    return 0;
}

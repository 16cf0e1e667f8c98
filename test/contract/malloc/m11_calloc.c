/* SPDX-License-Identifier: MIT
 *
 * m11_calloc.c - calloc costs what malloc and memset cost, clears nothing that is known to be zero,
 * and returns zeros in each case [M11].
 *
 *     LD_PRELOAD=libmem-malloc.so m11_calloc [STEPS] [SEED]
 *
 * STEPS is how many random calls each thread makes; 20,000 by default.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "tap.h"

enum { KIB = 1 << 10, MIB = 1 << 20, FILL = 0xA5 };

static size_t page;

static long nfaults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

static bool grew_by_less(size_t before, size_t nbytes)
{
    size_t now = resident();
    return now < before || now - before < nbytes;
}

static bool is_zero(const unsigned char *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* --- memory that is used again --------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned char *by_hand(size_t n)
{
    unsigned char *p = opaque(malloc(n));
    return p == NULL ? NULL : memset(p, 0, n);
}

/* Takes, touches and frees such an object again and again. Returns how long the fastest of some
 * rounds took. */
static double use_again(size_t n, bool with_calloc)
{
    enum { ROUNDS = 40, TIMES = 4 };
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = seconds();
        for (int i = 0; i < TIMES; i++) {
            unsigned char *p = with_calloc ? opaque(calloc(1, n)) : by_hand(n);
            for (size_t k = 0; k < n; k += page) {
                p[k] = FILL;
            }
            free(p);
        }
        double took = seconds() - begin;
        best = took < best ? took : best;
    }
    return best;
}

/* So much is live that nothing which is freed here is worth giving back to the system. */
static void test_used_again(void)
{
    static const size_t nkib[] = {3, 40, 64, 900, 1024, 2048, 8192};
    enum { TRIES = 8, LIVE = 96 * MIB };
    void *live = by_hand(LIVE);
    for (size_t i = 0; i < sizeof nkib / sizeof *nkib; i++) {
        char what[80];
        double hand = 0, calloced = 0;
        bool cheap = false;
        size_t n = nkib[i] * KIB;
        use_again(n, false);
        long before = nfaults();
        for (int t = 0; t < TRIES && !cheap; t++) {
            hand = use_again(n, false);
            calloced = use_again(n, true);
            cheap = calloced <= hand * 1.1;
        }
        snprintf(what, sizeof what, "M11 %zu KiB used again: no page fault", nkib[i]);
        check(nfaults() - before <= 2, what);
        snprintf(what, sizeof what, "M11 %zu KiB used again: %.2f of malloc and memset (1.1)",
                 nkib[i], calloced / hand);
        check(cheap, what);
    }
    free(live);
}

/* --- memory that is known to be zero ---------------------------------------------- */

static void test_never_used(void)
{
    size_t n = (size_t)1 << 30;
    size_t before = resident();
    unsigned char *p;
    while ((p = opaque(calloc(1, n))) == NULL && n > MIB) {
        n /= 2;
    }
    check(p != NULL && grew_by_less(before, MIB), "M11 a GiB that was never used: nothing written");
    free(p);
}

static void test_slots_never_used(void)
{
    enum { N = 1000, SIZE = 40000 };
    static unsigned char *object[N];
    bool zero = true;
    size_t before = resident();
    for (int i = 0; i < N; i++) {
        object[i] = opaque(calloc(1, SIZE));
    }
    check(grew_by_less(before, 4 * MIB), "M11 1,000 large slots never used: nothing written");
    for (int i = 0; i < N; i++) {
        zero = zero && is_zero(object[i], SIZE);
        memset(object[i], FILL, SIZE);
    }
    check(zero, "M11 large slots never used: all zero");
    for (int i = 0; i < N; i += 2) {
        free(object[i]);
    }
    for (int i = 0; i < N; i += 2) {
        object[i] = opaque(calloc(1, SIZE));
        zero = zero && is_zero(object[i], SIZE);
    }
    check(zero, "M11 large slots used again: all zero");
    for (int i = 0; i < N; i++) {
        free(object[i]);
    }
}

static void test_given_back(void)
{
    enum { N = 64 * MIB };
    unsigned char *p = by_hand(N), *behind = opaque(malloc(100000));
    memset(p, FILL, N);
    free(p);
    malloc_trim(0);
    size_t before = resident();
    p = opaque(calloc(1, N - 100));
    check(grew_by_less(before, MIB), "M11 64 MiB that went back: nothing written");
    check(is_zero(p, N - 100), "M11 64 MiB that went back: all zero");
    memset(p, FILL, N - 100);
    free(p);
    p = opaque(calloc(1, N - 100));
    check(is_zero(p, N - 100), "M11 64 MiB that did not go back: all zero");
    memset(p, FILL, N - 100);
    p = realloc(p, 2 * MIB);
    p = realloc(p, 5 * MIB); /* in place, over what it gave up */
    memset(p, FILL, 5 * MIB);
    free(p);
    malloc_trim(0);
    p = opaque(malloc(2 * MIB));
    p = realloc(p, 9 * MIB); /* in place, over what went back */
    memset(p, FILL, 9 * MIB);
    free(p);
    p = opaque(calloc(1, 8 * MIB));
    check(is_zero(p, 8 * MIB), "M11 what a realloc in place has grown over: all zero");
    free(p);
    free(behind);
}

/* --- random calls ------------------------------------------------------------------ */

enum { NOBJECTS = 160, NTHREADS = 3 };

struct work {
    uint64_t seed;
    long nsteps;
    bool trims;
    unsigned nwrong;
    unsigned char *object[NOBJECTS];
    size_t size[NOBJECTS];
};

/* Small ones, large slots and chunks, each about as often. */
static size_t random_size(uint64_t *seed)
{
    switch (rnd(seed, 8)) {
    case 0:
    case 1:
    case 2:
        return rnd(seed, 3 * KIB);
    case 3:
    case 4:
    case 5:
        return 2 * KIB + rnd(seed, 64 * KIB);
    case 6:
        return rnd(seed, 300 * KIB);
    default:
        return rnd(seed, 20) == 0 ? rnd(seed, 6 * MIB) : rnd(seed, MIB);
    }
}

/* Fills each byte that the program may write to before the memory is free again. */
static void step(struct work *w)
{
    uint32_t i = rnd(&w->seed, NOBJECTS), what = rnd(&w->seed, 10);
    size_t n = random_size(&w->seed);
    unsigned char *p = w->object[i];
    if (p != NULL && what < 2) {
        size_t old = w->size[i];
        p = opaque(realloc(p, n + 1));
        w->nwrong += p == NULL || !all_are(p, FILL, old < n + 1 ? old : n + 1);
        n++;
    } else {
        free(p);
        p = NULL;
        if (what >= 9) {
            n = 0;
        } else if (what == 8) {
            p = opaque(aligned_alloc((size_t)16 << rnd(&w->seed, 12), n));
        } else if (what == 7) {
            p = opaque(malloc(n));
        } else {
            p = opaque(calloc(1, n));
            w->nwrong += p == NULL || !is_zero(p, n);
        }
    }
    if (p != NULL) {
        memset(p, FILL, n);
    }
    w->object[i] = p;
    w->size[i] = n;
}

static void free_all(struct work *w)
{
    for (int i = 0; i < NOBJECTS; i++) {
        free(w->object[i]);
        w->object[i] = NULL;
    }
}

static void *work(void *arg)
{
    enum { TRIM_EVERY = 300, EMPTY_EVERY = 2500, QUARTER = 260 };
    struct work *w = arg;
    for (long n = 1; n <= w->nsteps; n++) {
        step(w);
        if (w->trims && rnd(&w->seed, TRIM_EVERY) == 0) {
            malloc_trim(0);
        }
        if (rnd(&w->seed, EMPTY_EVERY) == 0) {
            free_all(w);
        }
        if (rnd(&w->seed, EMPTY_EVERY) == 0) { /* so that pages go back by themselves */
            struct timespec t = {.tv_nsec = QUARTER * 1000000L};
            nanosleep(&t, NULL);
        }
    }
    free_all(w);
    return NULL;
}

static bool work_in_threads(long nsteps, uint64_t seed)
{
    static struct work w[NTHREADS];
    pthread_t thread[NTHREADS];
    unsigned nwrong = 0;
    for (int i = 0; i < NTHREADS; i++) {
        w[i] = (struct work){.seed = seed + 77 * (uint64_t)i, .nsteps = nsteps, .trims = i == 0};
        nwrong += pthread_create(&thread[i], NULL, work, &w[i]) != 0;
    }
    for (int i = 0; i < NTHREADS; i++) {
        pthread_join(thread[i], NULL);
        nwrong += w[i].nwrong;
    }
    return nwrong == 0;
}

/* The child and its parent go on from one heap, each with its own copy of it. */
static bool work_in_child(long nsteps, uint64_t seed)
{
    static struct work w;
    int status = -1;
    w = (struct work){.seed = seed, .nsteps = nsteps / 4, .trims = true};
    for (int i = 0; i < NOBJECTS; i++) {
        step(&w);
    }
    pid_t child = fork();
    if (child == 0) {
        work(&w);
        _exit(w.nwrong != 0);
    }
    w.seed++;
    work(&w);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 && w.nwrong == 0;
}

int main(int argc, char **argv)
{
    enum { STEPS = 20000, FORKS = 4 };
    long nsteps = argc > 1 ? atol(argv[1]) : STEPS;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    static struct work w;
    page = (size_t)sysconf(_SC_PAGESIZE);
    test_never_used();
    test_slots_never_used();
    test_given_back();
    test_used_again();
    w = (struct work){.seed = seed + 1000, .nsteps = nsteps};
    work(&w);
    check(w.nwrong == 0, "M11 random calls: all zero");
    w = (struct work){.seed = seed + 2000, .nsteps = nsteps, .trims = true};
    work(&w);
    check(w.nwrong == 0, "M11 random calls and malloc_trim: all zero");
    check(work_in_threads(nsteps, seed + 3000), "M11 random calls of threads: all zero");
    bool zero = true;
    for (unsigned i = 0; i < FORKS; i++) {
        zero = work_in_child(nsteps, seed + 4000 + i) && zero;
    }
    check(zero, "M11 random calls after a fork: all zero");
    return done();
}

/* SPDX-License-Identifier: MIT
 *
 * m12_hard.c - a program without mistakes behaves on LIBMEM=hard, and on each measure alone, as
 * without them [M12]: it is given what it asks for, may use all of it, and is not stopped.
 *
 * LIBMEM is set from outside.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "stamp.h"

enum { NLIVE = 400, NSTEPS = 30000, NTHREADS = 3, KIB = 1 << 10, MIB = 1 << 20 };

static bool has_measure(const char *name)
{
    const char *options = getenv("LIBMEM");
    return options != NULL && (strstr(options, name) != NULL || strstr(options, "hard") != NULL);
}

/* Sizes around the limits of slots, of pages, and of what gets a chunk. */
static void each_size(void)
{
    static const size_t around[] = {0,     8,     16,    232,   240,    248,   256,
                                    2048,  4096,  8192,  12288, 49144,  49152, 57344,
                                    65528, 65536, 69632, 98304, 1 * MIB};
    bool exact = true, aligned = true, whole = true;
    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
        for (size_t n = around[i] < 20 ? 0 : around[i] - 20; n < around[i] + 20; n++) {
            unsigned char *p = opaque(malloc(hide(n)));
            exact = exact && malloc_usable_size(p) == n;
            aligned = aligned && is_multiple(p, 16 - 8 * (n < 16));
            memset(p, 0xa5, n);
            whole = whole && all_are(p, 0xa5, n);
            free(p);
        }
    }
    check(exact, "M12 malloc_usable_size is the size that was asked for");
    check(aligned, "M12 objects are aligned as ever");
    check(whole, "M12 all of that size may be written");
}

static void each_alignment(void)
{
    bool good = true;
    for (size_t align = 8; align <= (size_t)1 << (share() > 1 ? 16 : 24); align *= 2) {
        for (size_t n = 0; n < 70000; n = 3 * n + 1) {
            void *p = NULL;
            good = good && posix_memalign(&p, align, n) == 0 && is_multiple(p, align) &&
                   malloc_usable_size(p) == n;
            memset(p, 1, n);
            free(p);
        }
    }
    check(good, "M12 each alignment, of objects of each size");
}

/* Cleared memory, and with the measure `zero` or a quarantine also that of malloc and realloc. */
static void cleared(void)
{
    bool by_calloc = true, by_malloc = true, by_realloc = true;
    for (size_t n = 1; n < 300000; n += n / 3 + 1) {
        for (int i = 0; i < 5; i++) {
            unsigned char *p = opaque(calloc(1, n));
            by_calloc = by_calloc && all_are(p, 0, n);
            memset(p, 0xff, n);
            free(p);
            p = opaque(malloc(n));
            by_malloc = by_malloc && all_are(p, 0, n);
            memset(p, 0xff, n);
            p = opaque(realloc(p, n + n / 16 + 1));
            by_realloc = by_realloc && all_are(p, 0xff, n) && all_are(p + n, 0, n / 16 + 1);
            memset(p, 0xff, n + n / 16 + 1);
            free(p);
        }
    }
    check(by_calloc, "M12 calloc returns zeros");
    if (has_measure("zero")) {
        check(by_malloc, "M12 zero: malloc returns zeros, too");
        check(by_realloc, "M12 zero: and what realloc adds is zero");
    }
}

/* --- random calls, in threads ---------------------------------------------------- */

static struct stamped shared[NTHREADS][NLIVE];

static size_t random_size(uint64_t *seed)
{
    return rnd(seed, 20) == 0  ? rnd(seed, 300 * KIB)
           : rnd(seed, 2) == 0 ? rnd(seed, 300)
                               : rnd(seed, 9000);
}

/* Takes, resizes or frees a random object. Returns whether it held what it should. */
static bool step(struct stamped *live, uint64_t *seed, uint64_t id)
{
    struct stamped *o = &live[rnd(seed, NLIVE)];
    if (o->p == NULL) {
        size_t n = random_size(seed);
        *o = (struct stamped){opaque(malloc(n)), n, id};
        stamp(o);
        return o->p != NULL;
    }
    bool good = is_stamped(o) && malloc_usable_size(o->p) == o->n;
    if (rnd(seed, 3) != 0) {
        free(o->p);
        o->p = NULL;
        return good;
    }
    size_t n = 1 + random_size(seed);
    unsigned char *p = opaque(realloc(o->p, n));
    *o = (struct stamped){p, n, o->n <= n ? o->id : id};
    if (o->id != id) {
        stamp(o);
        return good;
    }
    stamp(o);
    return good && p != NULL;
}

static void *work(void *number)
{
    uintptr_t me = (uintptr_t)number, nbad = 0;
    uint64_t seed = 77 + me;
    for (uint64_t i = 0; i < (unsigned)share_of(NSTEPS); i++) {
        nbad += !step(shared[me], &seed, (i + 1) << 32 | me << 24);
    }
    return (void *)nbad;
}

/* Each thread frees the objects of the next one. */
static void *free_others(void *number)
{
    uintptr_t me = (uintptr_t)number, nbad = 0;
    for (struct stamped *o = shared[(me + 1) % NTHREADS]; o < shared[(me + 1) % NTHREADS] + NLIVE;
         o++) {
        nbad += o->p != NULL && !is_stamped(o);
        free(o->p);
        o->p = NULL;
    }
    return (void *)nbad;
}

static bool in_threads(void *(*function)(void *))
{
    pthread_t thread[NTHREADS];
    bool good = true;
    for (uintptr_t i = 0; i < NTHREADS; i++) {
        good = pthread_create(&thread[i], NULL, function, (void *)i) == 0 && good;
    }
    for (int i = 0; i < NTHREADS; i++) {
        void *nbad = NULL;
        good = pthread_join(thread[i], &nbad) == 0 && nbad == NULL && good;
    }
    return good;
}

/* --- forks, and what the quarantine holds ------------------------------------------- */

/* A child frees and resizes what its parent has allocated. */
static void forks(void)
{
    enum { N = 500 };
    static struct stamped mine[N];
    uint64_t seed = 5;
    for (uint64_t i = 0; i < N; i++) {
        mine[i] = (struct stamped){NULL, 1 + random_size(&seed), i << 32};
        mine[i].p = opaque(malloc(mine[i].n));
        stamp(&mine[i]);
    }
    bool good = true;
    for (int round = 0; round < 10; round++) {
        pid_t child = fork();
        for (struct stamped *o = mine; child == 0 && o < mine + N; o++) {
            if (!is_stamped(o)) {
                _exit(1);
            }
            free(opaque(realloc(o->p, o->n + 30)));
        }
        if (child == 0) {
            _exit(0);
        }
        int status;
        good = good && waitpid(child, &status, 0) == child && status == 0;
    }
    for (struct stamped *o = mine; o < mine + N; o++) {
        good = good && is_stamped(o);
        free(o->p);
    }
    check(good, "M12 children of fork use the objects of their parent, and so does the parent");
}

/* The quarantine is 1 MiB, or 64 KiB if LIBMEM says so. */
static void bounded(void)
{
    enum { N = 20000, SLACK = 96 * KIB };
    size_t before = mallinfo2().uordblks;
    size_t most = strstr(getenv("LIBMEM"), "=64K") != NULL ? 64 * KIB : 1 * MIB;
    for (int i = 0; i < N; i++) {
        free(opaque(malloc(100 + hide((size_t)i) % 1000)));
    }
    size_t after = mallinfo2().uordblks;
    check(after <= before + most + SLACK, "M12 quarantine: it holds no more than it should");
    check(after >= before + most / 2 || !has_measure("quarantine") || before > most,
          "M12 quarantine: and as much as that");
}

static void large_goes_back(void)
{
    unsigned char *p = opaque(malloc(100 * MIB));
    memset(p, 1, 100 * MIB);
    size_t before = resident();
    free(p);
    p = opaque(malloc(100 * MIB));
    free(p);
    check(resident() + 90 * MIB < before || !has_measure("zero"),
          "M12 zero: the memory of a large object goes back when it is freed");
}

static void errors(void)
{
    errno = 77;
    char *p = opaque(malloc(100));
    free(p);
    check(errno == 77, "M12 errno stays");
    p = opaque(malloc(100));
    check(opaque(realloc(p, hide(SIZE_MAX / 2))) == NULL && errno == ENOMEM &&
              malloc_usable_size(p) == 100,
          "M12 what cannot be resized stays");
    free(p);
}

int main(void)
{
    each_size();
    each_alignment();
    cleared();
    errors();
    check(in_threads(work), "M12 three threads allocate, resize and free at random");
    check(in_threads(free_others), "M12 and each frees the objects of another");
    forks();
    large_goes_back();
    bounded();
    return done();
}

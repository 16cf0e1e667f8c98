/* SPDX-License-Identifier: MIT
 *
 * Checks that bad frees are refused while four threads allocate, free, and hand objects to each
 * other [M3, M5].
 *
 *     LIBMEM=onerror=report m03_badfree_threads ROUNDS SEED       (or onerror=ignore)
 *
 * An action of another thread must not make a mistake valid, so each round has two halves:
 *
 *     work    Each thread allocates, frees, resizes, hands objects over, and makes mistakes
 *             that no other thread can make valid: inside its own objects or outside the heap.
 *     mourn   No thread allocates. Each thread frees again what its neighbour has freed, while
 *             others still free their own objects.
 *
 * Standard error is a pipe that a separate thread reads. The number of lines must equal the
 * number of mistakes, and the sums of their addresses must be equal. No object may have lost its
 * size or its content.
 *
 * Then four frees of one object race. The library may accept all of them [C13], but it must not
 * hand out the memory twice.
 */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "stamp.h"

enum { NTHREADS = 4, NLIVE = 100, NGONE = 20, NSTEPS = 400, NSHARED = 16, NALIKE = 40 };
enum { DOUBLINGS = 17, SMALLER = 9, ERRNO = 77 };

static struct worker {
    uint64_t seed, next_id;
    struct stamped live[NLIVE];
    size_t nlive;
    void *gone[NGONE];
    size_t nmistakes, nwrong; /* nwrong counts wrong answers, sizes and contents. */
    uintptr_t sum;            /* The sum of the addresses of the mistakes. */
} workers[NTHREADS];

static pthread_barrier_t together;
static _Atomic(unsigned char *) shared[NSHARED];
static size_t nrounds;
static unsigned char global[4096], *mapping;
static unsigned char *contested;
static _Atomic size_t contested_size;

static size_t number_of(const struct worker *w)
{
    return (size_t)(w - workers);
}

/* --- objects -------------------------------------------------------------------- */

static void verify(struct worker *w, const struct stamped *o)
{
    w->nwrong += malloc_usable_size(o->p) != o->n || !is_stamped(o);
}

static void own(struct worker *w, unsigned char *p, size_t n)
{
    struct stamped *o = &w->live[w->nlive];
    *o = (struct stamped){p, n, w->next_id += (uint64_t)1 << 32};
    if (p == NULL) {
        w->nwrong++;
        return;
    }
    w->nlive++;
    stamp(o);
}

static void take(struct worker *w)
{
    size_t n = rnd_size(&w->seed, rnd(&w->seed, 50) == 0 ? DOUBLINGS : SMALLER);
    own(w, opaque(malloc(n)), n);
}

static unsigned char *disown(struct worker *w, size_t i)
{
    unsigned char *p = w->live[i].p;
    verify(w, &w->live[i]);
    w->live[i] = w->live[--w->nlive];
    return p;
}

static size_t any(struct worker *w)
{
    return rnd(&w->seed, (uint32_t)w->nlive);
}

static void resize(struct worker *w)
{
    struct stamped *o = &w->live[any(w)];
    size_t n = o->n + rnd(&w->seed, 500);
    unsigned char *p = opaque(realloc(o->p, n));
    if (p == NULL) {
        w->nwrong++;
        return;
    }
    o->p = p;
    w->nwrong += !is_stamped(o);
    o->n = n;
    stamp(o);
}

/* Exchanges an object with a shared place. The content of the object found there tells its
 * identity. */
static void hand_over(struct worker *w)
{
    unsigned char *mine = disown(w, any(w));
    unsigned char *theirs = atomic_exchange(&shared[rnd(&w->seed, NSHARED)], mine);
    if (theirs == NULL) {
        return;
    }
    struct stamped o = {theirs, malloc_usable_size(theirs), 0};
    memcpy(&o.id, theirs, sizeof o.id);
    w->nwrong += !is_stamped(&o);
    if (rnd(&w->seed, 2) == 0) {
        free(theirs);
    } else {
        own(w, theirs, o.n);
    }
}

/* --- mistakes ------------------------------------------------------------------- */

static void bad_free(struct worker *w, void *address)
{
    errno = ERRNO;
    free(opaque(address));
    w->nwrong += errno != ERRNO;
    w->nmistakes++;
    w->sum += (uintptr_t)address;
}

static void bad_realloc(struct worker *w, void *address)
{
    errno = 0;
    void *p = opaque(realloc(opaque(address), 1 + rnd(&w->seed, 3000)));
    w->nwrong += p != NULL || errno != EINVAL;
    w->nmistakes++;
    w->sum += (uintptr_t)address;
}

static void bad_inside(struct worker *w)
{
    struct stamped *o = &w->live[any(w)];
    size_t offset = 1 + rnd(&w->seed, (uint32_t)o->n - 1);
    switch (rnd(&w->seed, 3)) {
    case 0:
        bad_realloc(w, o->p + offset);
        return;
    case 1:
        bad_free(w, o->p + (offset < 16 ? offset : offset / 16 * 16));
        return;
    default:
        bad_free(w, o->p + offset);
    }
}

static void bad_outside(struct worker *w)
{
    uintptr_t high = (uintptr_t)rnd(&w->seed, UINT32_MAX) << 32 | (uintptr_t)1 << 60;
    void *const address[] = {&high, global + rnd(&w->seed, sizeof global),
                             mapping + rnd(&w->seed, 65536), (void *)(high + 16),
                             (void *)(uintptr_t)(1 + rnd(&w->seed, 4000))};
    bad_free(w, address[rnd(&w->seed, 5)]);
}

/* --- a round -------------------------------------------------------------------- */

static void work(struct worker *w)
{
    for (int i = 0; i < NSTEPS; i++) {
        uint32_t what = rnd(&w->seed, 16);
        if (w->nlive < NGONE + 2 || (what < 5 && w->nlive < NLIVE - 1)) {
            take(w);
        } else if (what < 9) {
            free(disown(w, any(w)));
        } else if (what < 12) {
            hand_over(w);
        } else if (what < 13) {
            resize(w);
        } else if (what < 15) {
            bad_inside(w);
        } else {
            bad_outside(w);
        }
    }
}

static void mourn(struct worker *w)
{
    const struct worker *neighbour = &workers[(number_of(w) + 1) % NTHREADS];
    for (int i = 0; i < NGONE; i++) {
        if (w->nlive > 0 && i % 4 == 0) {
            free(disown(w, any(w)));
        }
        (i % 3 == 0 ? bad_realloc : bad_free)(w, neighbour->gone[i]);
        bad_free(w, w->gone[i]);
    }
}

static void *run(void *arg)
{
    struct worker *w = arg;
    for (size_t round = 0; round < nrounds; round++) {
        work(w);
        pthread_barrier_wait(&together);
        for (int i = 0; i < NGONE; i++) {
            w->gone[i] = disown(w, any(w));
            free(w->gone[i]);
        }
        pthread_barrier_wait(&together);
        mourn(w);
        pthread_barrier_wait(&together);
    }
    while (w->nlive > 0) {
        free(disown(w, 0));
    }
    return NULL;
}

/* --- frees that race --------------------------------------------------------------- */

static void allocate_alike(struct worker *w)
{
    while (w->nlive < NALIKE) {
        own(w, opaque(malloc(contested_size)), contested_size);
    }
    pthread_barrier_wait(&together); /* Every thread has written to its objects. */
    while (w->nlive > 0) {
        free(disown(w, 0));
    }
}

/* A barrier wakes its threads one after the other; this loop releases them at nearly the same
 * moment. */
static void meet(size_t ntimes)
{
    static _Atomic size_t narrived;
    narrived++;
    for (int i = 0; narrived < ntimes * NTHREADS; i++) {
        if (i > 2000) {
            sched_yield();
        }
    }
}

static void *race(void *arg)
{
    struct worker *w = arg;
    for (size_t round = 0; round < nrounds; round++) {
        if (number_of(w) == round % NTHREADS) {
            contested_size = rnd_size(&w->seed, 12);
            contested = malloc(contested_size);
        }
        pthread_barrier_wait(&together);
        meet(round + 1);
        free(opaque(contested));
        pthread_barrier_wait(&together);
        allocate_alike(w);
        pthread_barrier_wait(&together);
    }
    return NULL;
}

/* --- standard error ---------------------------------------------------------------- */

static struct {
    int from, to;
    size_t n, nforeign; /* nforeign counts lines that do not have the expected form. */
    uintptr_t sum;
} lines;

static void count_line(const char *line)
{
    static const char *const starts[] = {"libmem: free(0x", "libmem: realloc(0x"};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(starts[i]);
        if (strncmp(line, starts[i], n) == 0) {
            char *end;
            lines.n++;
            lines.sum += strtoull(line + n, &end, 16);
            lines.nforeign += strncmp(end, "): ", 3) != 0;
            return;
        }
    }
    lines.nforeign++;
}

/* Counts lines until one says "end". */
static void *read_lines(void *arg)
{
    static char text[1 << 16];
    size_t n = 0;
    for (;;) {
        ssize_t got = read(lines.from, text + n, sizeof text - n);
        if (got <= 0) {
            return NULL;
        }
        n += (size_t)got;
        char *line = text, *end;
        while ((end = memchr(line, '\n', n)) != NULL) {
            *end = '\0';
            if (strcmp(line, "end") == 0) {
                return arg;
            }
            count_line(line);
            n -= (size_t)(end + 1 - line);
            line = end + 1;
        }
        memmove(text, line, n);
    }
}

static bool run_all(void *(*what)(void *))
{
    pthread_t thread[NTHREADS], reader;
    bool good = pthread_create(&reader, NULL, read_lines, &lines) == 0;
    lines.n = lines.nforeign = lines.sum = 0;
    for (size_t i = 0; i < NTHREADS && good; i++) {
        good = pthread_create(&thread[i], NULL, what, &workers[i]) == 0;
    }
    if (!good) {
        exit(1); /* Exits without a TAP plan, which is a failure. */
    }
    for (size_t i = 0; i < NTHREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    void *ended = NULL;
    good = write(lines.to, "end\n", 4) == 4;
    pthread_join(reader, &ended);
    return good && ended != NULL;
}

static struct worker sum_of_all(void)
{
    struct worker all = {0};
    for (const struct worker *w = workers; w < workers + NTHREADS; w++) {
        all.nwrong += w->nwrong;
        all.nmistakes += w->nmistakes;
        all.sum += w->sum;
    }
    return all;
}

static void start(uint64_t seed)
{
    int ends[2];
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0) {
        exit(1);
    }
    lines.from = ends[0];
    lines.to = ends[1];
    mapping = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_barrier_init(&together, NULL, NTHREADS);
    for (size_t i = 0; i < NTHREADS; i++) {
        workers[i].seed = (seed * NTHREADS + i) * 0x9E3779B97F4A7C15u + 1;
        /* The identities of objects are unique among threads. */
        workers[i].next_id = (uint64_t)i << 60;
    }
}

static void check_lines(bool silent)
{
    struct worker all = sum_of_all();
    printf("# %zu mistakes, %zu lines\n", all.nmistakes, lines.n);
    if (silent) {
        check(all.nmistakes > 0 && lines.n == 0, "no line was written");
        return;
    }
    check(all.nmistakes > 0 && lines.n == all.nmistakes, "as many lines as mistakes");
    check(lines.sum == all.sum, "and of the same addresses");
}

int main(int argc, char **argv)
{
    const char *options = getenv("LIBMEM");
    uint64_t seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    nrounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 300;
    printf("# badfree_threads %zu %" PRIu64 "\n", nrounds, seed);
    start(seed);
    check(run_all(run), "four threads work and make mistakes");
    check_lines(options != NULL && strstr(options, "onerror=ignore") != NULL);
    check(lines.nforeign == 0, "nothing else was written");
    check(sum_of_all().nwrong == 0, "all objects were whole, all answers right");
    for (int i = 0; i < NSHARED; i++) {
        free(shared[i]);
    }
    for (int i = 0; i < NTHREADS; i++) {
        workers[i].nwrong = 0;
    }
    check(run_all(race), "frees of one object race");
    printf("# %zu of %zu were too late\n", lines.n, nrounds * (NTHREADS - 1));
    check(lines.n <= nrounds * (NTHREADS - 1) && lines.nforeign == 0, "one of them is accepted");
    check(sum_of_all().nwrong == 0, "and the place is not given out twice");
    return done();
}

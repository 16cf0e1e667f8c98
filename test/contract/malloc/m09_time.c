/* SPDX-License-Identifier: MIT
 *
 * Checks that mallinfo2, malloc_info and malloc_stats take a time that does not grow with the
 * number of objects, and keep no other thread waiting, and that what they say meanwhile is
 * possible [M9].
 */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <fcntl.h>
#include <time.h>

#include "tap.h"

enum { MANY = 1000000, FEW = 1000 };
static void *object[MANY];

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- time ------------------------------------------------------------------------ */

static FILE *nowhere;

static void ask(void)
{
    (void)mallinfo2();
}

static void ask_for_xml(void)
{
    (void)malloc_info(0, nowhere);
}

/* Returns the time of the fastest of some calls, since other programs run meanwhile. */
static double fastest(void (*call)(void))
{
    double best = 1e9;
    for (int i = 0; i < 50; i++) {
        double begin = seconds();
        call();
        double took = seconds() - begin;
        best = took < best ? took : best;
    }
    return best;
}

static void take_up_to(size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (object[i] == NULL)
            object[i] = opaque(malloc(16 + i % 100));
}

static void free_all(void)
{
    for (size_t i = 0; i < MANY; i++) {
        free(object[i]);
        object[i] = NULL;
    }
}

/* A thousand times as many objects may take four times as long: for each 64 KiB of memory a cache
 * line is read, and the rest stays as it is. To look at each object takes a hundred times as long.
 */
static void test_time(void)
{
    enum { FACTOR = 4 };
    const double some = 200e-6; /* for a busy machine */
    static void (*const call[])(void) = {ask, ask_for_xml, malloc_stats};
    static const char *const name[] = {"mallinfo2", "malloc_info", "malloc_stats"};
    double few[3], many[3], freed[3];
    nowhere = fopen("/dev/null", "w");
    int saved = dup(STDERR_FILENO);
    dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    take_up_to(FEW);
    for (int i = 0; i < 3; i++)
        few[i] = fastest(call[i]);
    take_up_to(MANY);
    for (int i = 0; i < 3; i++)
        many[i] = fastest(call[i]);
    for (size_t i = 0; i < MANY; i++) /* and as many free slots, in no piece */
        if (i % 10 != 0) {
            free(object[i]);
            object[i] = NULL;
        }
    for (int i = 0; i < 3; i++)
        freed[i] = fastest(call[i]);
    dup2(saved, STDERR_FILENO);
    for (int i = 0; i < 3; i++) {
        char what[200];
        printf("# %s: %.1f us with %d objects, %.1f us with %d, %.1f us after nine tenths of them "
               "were freed\n",
               name[i], few[i] * 1e6, FEW, many[i] * 1e6, MANY, freed[i] * 1e6);
        snprintf(what, sizeof what, "%s: the number of objects does not matter", name[i]);
        check(many[i] < FACTOR * few[i] + some && freed[i] < FACTOR * few[i] + some, what);
    }
}

/* --- threads --------------------------------------------------------------------- */

enum { NTHREADS = 3, NHELD = 1000, LARGEST_SLOT = 1024 };
static _Atomic bool stop;
static _Atomic long nturns;

/* Takes and frees what needs the heap's lock. */
static void *use_the_lock(void *nothing)
{
    while (!stop) {
        free(opaque(malloc(100000)));
        nturns++;
    }
    return nothing;
}

/* If an answer held the lock while it walks over all objects, each would take some milliseconds,
 * and the other thread would wait as long. */
static void test_lock(void)
{
    enum { AT_LEAST = 200, TRIES = 20 }; /* Several tries, since other programs run meanwhile. */
    pthread_t thread;
    long nanswers = 0, turns = 0;
    take_up_to(MANY);
    pthread_create(&thread, NULL, use_the_lock, NULL);
    while (nturns == 0)
        continue;
    for (int i = 0; i < TRIES && (nanswers <= AT_LEAST || turns <= AT_LEAST); i++) {
        long before = nturns;
        nanswers = 0;
        for (double begin = seconds(); seconds() < begin + 0.5; nanswers++)
            (void)mallinfo2();
        turns = nturns - before;
    }
    stop = true;
    pthread_join(thread, NULL);
    printf("# %ld answers and %ld turns of another thread in half a second\n", nanswers, turns);
    check(nanswers > AT_LEAST && turns > AT_LEAST,
          "others have their turn while statistics are asked for");
    free_all();
}

/* Each thread holds up to NHELD objects, and frees those of another. */
static void *_Atomic held[NTHREADS][NHELD];

static void *come_and_go(void *number)
{
    uint64_t dice = (uintptr_t)number + 1;
    size_t other = ((uintptr_t)number + 1) % NTHREADS;
    while (!stop) {
        size_t nbytes = 1 + rnd(&dice, LARGEST_SLOT);
        void *p = opaque(malloc(nbytes));
        free(atomic_exchange(&held[(uintptr_t)number][rnd(&dice, NHELD)], p));
        free(atomic_exchange(&held[other][rnd(&dice, NHELD)], NULL));
    }
    return NULL;
}

/* Runs the threads for a while and asks all the time. Returns how many answers were impossible. */
static size_t nwrong_while_they_run(size_t base, double for_seconds)
{
    pthread_t thread[NTHREADS];
    size_t nwrong = 0, most = (size_t)NTHREADS * NHELD * LARGEST_SLOT;
    stop = false;
    for (uintptr_t i = 0; i < NTHREADS; i++)
        pthread_create(&thread[i], NULL, come_and_go, (void *)i);
    for (double begin = seconds(); seconds() < begin + for_seconds;) {
        struct mallinfo2 m = mallinfo2();
        /* Of frees that race in one span half may be missed until it is counted again. */
        nwrong += m.uordblks + m.fordblks != m.arena || m.uordblks > base + 3 * most + (4 << 20);
    }
    stop = true;
    for (int i = 0; i < NTHREADS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < NTHREADS; i++)
        for (int k = 0; k < NHELD; k++)
            free(atomic_exchange(&held[i][k], NULL));
    return nwrong;
}

/* The first time, libc keeps what it takes for threads. */
static void test_threads(void)
{
    enum { A_FEW_KIB = 16 << 10 };
    size_t nwrong = nwrong_while_they_run(mallinfo2().uordblks, 0.1);
    malloc_trim(0);
    size_t base = mallinfo2().uordblks;
    nwrong += nwrong_while_they_run(base, 0.5);
    size_t missed = mallinfo2().uordblks - base;
    malloc_trim(0);
    size_t after = mallinfo2().uordblks;
    printf("# %zd bytes of raced frees count as objects; after malloc_trim %zd\n", missed,
           after - base);
    check(nwrong == 0, "whatever is asked while threads run is possible, and adds up");
    check(after <= base + A_FEW_KIB && base <= after + A_FEW_KIB,
          "after malloc_trim each free of theirs counts");
}

int main(void)
{
    static char buffer[4096];
    setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
    test_time();
    test_lock();
    test_threads();
    return done();
}

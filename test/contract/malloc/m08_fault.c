/* SPDX-License-Identifier: MIT
 *
 * Checks that libmem-malloc.so survives the failure of each call by which it asks the system for
 * something.
 *
 * In each run, a process of its own, another call fails: the first, the second, and so on, until
 * a run makes fewer calls. In a second series all later calls fail, too. In a third series all
 * calls of one kind fail. In the last two, the system refuses to open more memory [M7]: once, or
 * from some call on. An allocation may then return NULL with ENOMEM, but the program must
 * never crash, find wrong content or hang.
 *
 *     m08_fault          does all runs; failing.so lies beside it
 *     m08_fault work     does the work of one run
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "failing.h"
#include "stamp.h"

enum { NLIVE = 40, NSTEPS = 200, NTHREADS = 3, NFORKS = 1, MOST_RUNS = 2000 };

static struct failing *state;

#define NAME_OF(name) #name,
static const char *const names[] = {FAILING_CALLS(NAME_OF)};

/* --- the work --------------------------------------------------------------------- */

static _Atomic bool stop;
static _Atomic uint64_t next_id = 1;

struct worker {
    uint64_t seed;
    struct stamped live[NLIVE];
};

static void expect(bool so)
{
    state->nwrong += !so;
}

/* Returns false if p is NULL, for which errno must give the reason. */
static bool has(void *p)
{
    if (p == NULL) {
        state->nnull++;
        expect(errno == ENOMEM);
    }
    errno = 0;
    return p != NULL;
}

static void put(struct stamped *o, unsigned char *p, size_t n)
{
    *o = (struct stamped){NULL, 0, 0};
    if (has(p)) {
        *o = (struct stamped){p, n, next_id++ << 32};
        stamp(o);
    }
}

static void take(struct worker *w, struct stamped *o)
{
    size_t n = rnd_size(&w->seed, rnd(&w->seed, 16) == 0 ? 19 : 9);
    void *p = NULL;
    switch (rnd(&w->seed, 4)) {
    case 0:
        p = opaque(calloc(1, n));
        expect(p == NULL || all_are(p, 0, n));
        break;
    case 1:
        errno = posix_memalign(&p, (size_t)64 << rnd(&w->seed, 12), n);
        break;
    default:
        p = opaque(malloc(n));
    }
    put(o, p, n);
}

static void verify(const struct stamped *o)
{
    expect(malloc_usable_size(o->p) == o->n && is_stamped(o));
}

static void resize(struct worker *w, struct stamped *o)
{
    size_t n = o->n + rnd(&w->seed, 30000);
    unsigned char *p = opaque(realloc(o->p, n));
    if (has(p)) {
        o->p = p;
        expect(is_stamped(o));
        o->n = n;
        stamp(o);
    }
}

static void step(struct worker *w)
{
    struct stamped *o = &w->live[rnd(&w->seed, NLIVE)];
    if (o->p == NULL) {
        take(w, o);
        return;
    }
    verify(o);
    if (rnd(&w->seed, 4) == 0) {
        resize(w, o);
    } else if (rnd(&w->seed, 60) == 0) {
        free(o->p + 1 + rnd(&w->seed, (uint32_t)o->n - 1));
        verify(o);
    } else {
        free(o->p);
        o->p = NULL;
    }
}

static void finish(struct worker *w)
{
    for (struct stamped *o = w->live; o < w->live + NLIVE; o++) {
        if (o->p != NULL) {
            verify(o);
        }
        free(o->p);
    }
    *w = (struct worker){.seed = w->seed};
}

static void *work(void *seed)
{
    struct worker w = {.seed = (uintptr_t)seed};
    for (int i = 0; i < NSTEPS || !stop; i++) {
        step(&w);
    }
    finish(&w);
    return NULL;
}

static void fork_one(struct worker *w)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        alarm(PATIENCE);
        for (int i = 0; i < NSTEPS; i++) {
            step(w);
        }
        finish(w);
        _exit(0);
    }
    expect(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

/* If libmem's fork handlers could not be registered, it cannot notice a fork, and only this
 * thread may be running then. No allocator can promise more. */
static bool may_fork_among_threads(void)
{
    return state->nfailed[FAILING___register_atfork] == 0;
}

static void be_the_program(void)
{
    static struct worker main_worker = {.seed = 5};
    pthread_t thread[NTHREADS];
    bool started[NTHREADS];
    alarm(PATIENCE);
    for (int i = 0; i < NSTEPS; i++) {
        step(&main_worker);
    }
    malloc_trim(0); /* here, as the number of calls that threads make is not the same each time */
    for (int i = 0; i < NTHREADS; i++) {
        int number = pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)(i + 7));
        started[i] = number == 0;
        state->nnull += !started[i];
        expect(started[i] || number == EAGAIN || number == ENOMEM);
    }
    for (int i = 0; i < NFORKS && may_fork_among_threads(); i++) {
        fork_one(&main_worker);
    }
    stop = true;
    for (int i = 0; i < NTHREADS; i++) {
        if (started[i]) {
            pthread_join(thread[i], NULL);
        }
    }
    fork_one(&main_worker);
    finish(&main_worker);
    malloc_trim(0);
    has(malloc(10));
}

/* --- the runs --------------------------------------------------------------------- */

static bool make_page(void)
{
    int fd = memfd_create("failing", 0);
    if (fd < 0 || ftruncate(fd, sizeof *state) != 0 || dup2(fd, FAILING_FD) < 0) {
        return false;
    }
    void *p = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, FAILING_FD, 0);
    state = p == MAP_FAILED ? NULL : p;
    return state != NULL;
}

/* failing.so has mapped the page even if mmap fails for libmem. */
static bool find_page(void)
{
    void *found = dlsym(RTLD_DEFAULT, "failing_page");
    struct failing *(*page)(void);
    memcpy(&page, &found, sizeof page);
    state = page == NULL ? NULL : page();
    return state != NULL;
}

static char *with_failing_library(const char *program)
{
    static char preload[4096];
    const char *before = getenv("LD_PRELOAD"), *slash = strrchr(program, '/');
    int n = slash == NULL ? 0 : (int)(slash + 1 - program);
    snprintf(preload, sizeof preload, "LD_PRELOAD=%.*sfailing.so:%s", n, program,
             before == NULL ? "" : before);
    return preload;
}

/* Returns the wait status of the program, or -1 if it did not start. */
static int run(char *program, struct failing how)
{
    int status = -1;
    *state = how;
    pid_t child = fork();
    if (child == 0) {
        char *arguments[] = {program, (char *)(uintptr_t) "work", NULL};
        char *environment[] = {with_failing_library(program),
                               (char *)(uintptr_t) "LIBMEM=onerror=report", NULL};
        if (freopen("/dev/null", "w", stderr) != NULL) {
            execve(program, arguments, environment);
        }
        _exit(127);
    }
    return waitpid(child, &status, 0) == child ? status : -1;
}

static struct sums {
    uint32_t nruns, nbad, nnull, nnull_most, nfailed[FAILING_NCALLS];
} sums;

static void judge(uint32_t at, int status)
{
    bool bad = status != 0 || state->nwrong > 0;
    const char *why = WIFEXITED(status)             ? "wrong"
                      : WTERMSIG(status) == SIGALRM ? "HANGS"
                                                    : "CRASHES";
    sums.nruns++;
    sums.nbad += bad;
    sums.nnull += state->nnull;
    sums.nnull_most = state->nnull > sums.nnull_most ? state->nnull : sums.nnull_most;
    for (int i = 0; i < FAILING_NCALLS; i++) {
        sums.nfailed[i] += state->nfailed[i];
    }
    if (bad) {
        printf("# call %u: %s, status %d, %u wrong\n", at, why, status, state->nwrong);
    }
}

static void run_all(char *program, bool onwards)
{
    sums = (struct sums){0};
    for (uint32_t at = 1; at <= MOST_RUNS && sums.nbad < 10; at += (uint32_t)share()) {
        int status = run(program, (struct failing){.at = at, .onwards = onwards});
        judge(at, status);
        if (state->n < at) {
            break; /* No call failed in this run, so the work succeeds by itself. */
        }
    }
    printf("# %u runs, NULL %u times;", sums.nruns, sums.nnull);
    for (int i = 0; i < FAILING_NCALLS; i++) {
        if (sums.nfailed[i] > 0) {
            printf(" %s %u", names[i], sums.nfailed[i]);
        }
    }
    printf("\n");
}

/* Simulates a system that never allows one kind of call, as sandboxes do. */
static void run_each_kind(char *program)
{
    sums = (struct sums){0};
    for (uint32_t kind = 1; kind <= FAILING_NCALLS; kind++) {
        judge(kind, run(program, (struct failing){.only = kind}));
        if (state->nfailed[kind - 1] > 0) {
            printf("# no %s: NULL %u times\n", names[kind - 1], state->nnull);
        }
    }
}

/* The memory that a heap reserves is opened in steps. A step that is refused once is made again,
 * and shorter, so no allocation fails for that. After a refusal that lasts, the program has what
 * was opened before. */
static void refuse_steps(char *program, bool onwards)
{
    enum { MOST_STEPS = 20 };
    sums = (struct sums){0};
    for (uint32_t at = 1; at <= MOST_STEPS; at++) {
        int status =
            run(program,
                (struct failing){.at = at, .only = FAILING_mprotect + 1, .onwards = onwards});
        judge(at, status);
        if (state->ncalls[FAILING_mprotect] < at) {
            break;
        }
    }
    printf("# mprotect refused in %u runs%s, NULL %u times\n", sums.nruns,
           onwards ? " from one on" : "", sums.nnull);
}

static bool has_met_all(void)
{
    if (share() > 1) /* then some calls are left out */
        return true;
    return sums.nruns < MOST_RUNS && sums.nfailed[FAILING_mmap] > 0 &&
           sums.nfailed[FAILING_madvise] > 0 && sums.nfailed[FAILING_membarrier] > 0 &&
           sums.nfailed[FAILING_sysinfo] > 0 && sums.nfailed[FAILING_write] > 0;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        if (!find_page()) {
            return 3;
        }
        be_the_program();
        return 0;
    }
    if (!make_page()) {
        return 3;
    }
    run_all(argv[0], false);
    check(sums.nbad == 0, "one call fails: no crash, no hang, no wrong content");
    check(sums.nnull_most <= 1, "and at most one allocation");
    check(has_met_all(), "each call has failed once");
    run_all(argv[0], true);
    check(sums.nbad == 0, "all calls fail from one on: no crash, no hang, no wrong content");
    check(has_met_all(), "from each call on");
    run_each_kind(argv[0]);
    check(sums.nbad == 0 && sums.nruns == FAILING_NCALLS,
          "all calls of one kind fail: no crash, no hang, no wrong content");
    enum { LEAST_STEPS = 8 };
    refuse_steps(argv[0], false);
    check(sums.nbad == 0 && sums.nfailed[FAILING_mprotect] >= LEAST_STEPS,
          "M7 each step is refused once: no crash, no hang, no wrong content");
    check(sums.nnull_most <= 1, "M7 and at most one allocation fails");
    refuse_steps(argv[0], true);
    check(sums.nbad == 0 && sums.nnull > 0 && sums.nruns >= LEAST_STEPS,
          "M7 all steps are refused from one on: what was opened before can be used");
    return done();
}

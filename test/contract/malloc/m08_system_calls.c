/* SPDX-License-Identifier: MIT
 *
 * Checks which system calls libmem-malloc.so makes with one thread, and that it goes on when the
 * system refuses membarrier, madvise or mprotect [M8].
 *
 *     m08_system_calls              does all runs, each in a process of its own
 *     m08_system_calls RUN ERROR    does one run, which was told to refuse membarrier before
 *
 * A filter (test/support/filter.h) kills the process at each other call, or lets a call fail.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "filter.h"
#include "stamp.h"

enum { NLIVE = 200, NSTEPS = 3000, NTHREADS = 4, NLARGE = 40, LARGE = 3 << 20 };
enum { PIECE = 256 << 10, MOST_PIECES = 4096 };

/* --- work --------------------------------------------------------------------------- */

struct worker {
    uint64_t seed, id;
    struct stamped live[NLIVE];
};

/* Makes an object of 8 bytes to 64 KiB, in each of the ways that there are. */
static bool take(struct worker *w, struct stamped *o)
{
    void *p = NULL;
    o->n = rnd_size(&w->seed, 13);
    switch (rnd(&w->seed, 4)) {
    case 0:
        p = opaque(calloc(1, o->n));
        if (p != NULL && !all_are(p, 0, o->n))
            return false;
        break;
    case 1:
        if (posix_memalign(&p, (size_t)16 << rnd(&w->seed, 9), o->n) != 0)
            p = NULL;
        break;
    default:
        p = opaque(malloc(o->n));
    }
    *o = (struct stamped){p, o->n, w->id += 1 << 20};
    if (p != NULL)
        stamp(o);
    return p != NULL && malloc_usable_size(p) == o->n;
}

static bool resize(struct worker *w, struct stamped *o)
{
    size_t n = o->n + rnd(&w->seed, 60000);
    unsigned char *p = opaque(realloc(o->p, n));
    if (p == NULL)
        return false;
    o->p = p;
    bool ok = is_stamped(o);
    o->n = n;
    stamp(o);
    return ok;
}

/* Returns false if an object has not what was written to it, or if there is no space. */
static bool churn(struct worker *w, int nsteps)
{
    bool ok = true;
    for (int i = 0; ok && i < nsteps; i++) {
        struct stamped *o = &w->live[rnd(&w->seed, NLIVE)];
        if (o->p == NULL) {
            ok = take(w, o);
        } else if (rnd(&w->seed, 4) == 0) {
            ok = resize(w, o);
        } else {
            ok = is_stamped(o);
            free(o->p);
            o->p = NULL;
        }
    }
    return ok;
}

static bool finish(struct worker *w)
{
    bool ok = true;
    for (struct stamped *o = w->live; o < w->live + NLIVE; o++) {
        ok = ok && (o->p == NULL || is_stamped(o));
        free(o->p);
        o->p = NULL;
    }
    return ok;
}

/* Makes many pages dirty and frees them, again and again, so that memory goes back. */
static bool grow_and_shrink(void)
{
    static unsigned char *p[NLARGE];
    bool ok = true;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < NLARGE; i++) {
            p[i] = opaque(i % 2 ? malloc(LARGE) : calloc(1, LARGE));
            ok = ok && p[i] != NULL && (i % 2 || all_are(p[i], 0, LARGE));
            if (p[i] != NULL)
                memset(p[i], 1, LARGE);
        }
        for (int i = 0; i < NLARGE; i++)
            free(p[i]);
    }
    return ok;
}

/* All that one thread does. */
static bool work_alone(void)
{
    static struct worker w = {.seed = 5};
    bool ok = churn(&w, share_of(NSTEPS)) && grow_and_shrink();
    malloc_trim(0);
    ok = ok && mallinfo2().uordblks > 0 && churn(&w, share_of(NSTEPS)) && finish(&w);
    malloc_trim(0);
    return ok;
}

static bool work_and_fork(void)
{
    int status = -1;
    bool ok = work_alone();
    pid_t child = fork();
    if (child == 0)
        _exit(work_alone() ? 0 : 1);
    return ok && waitpid(child, &status, 0) == child && status == 0 && work_alone();
}

static void *work_in_thread(void *seed)
{
    struct worker w = {.seed = (uintptr_t)seed, .id = (uintptr_t)seed << 40};
    return churn(&w, share_of(NSTEPS)) && finish(&w) ? NULL : seed;
}

static bool work_in_threads(void)
{
    static struct worker w = {.seed = 99};
    pthread_t thread[NTHREADS];
    bool ok = true;
    for (uintptr_t i = 0; i < NTHREADS; i++)
        if (pthread_create(&thread[i], NULL, work_in_thread, (void *)(i + 1)) != 0)
            exit(2);
    ok = churn(&w, share_of(NSTEPS));
    for (int i = 0; i < NTHREADS; i++) {
        void *bad = NULL;
        ok = pthread_join(thread[i], &bad) == 0 && bad == NULL && ok;
    }
    return finish(&w) && ok;
}

/* Returns how many objects of PIECE bytes there is space for. */
static size_t count_pieces(void)
{
    static void *p[MOST_PIECES];
    size_t n = 0;
    while (n < MOST_PIECES && (p[n] = opaque(malloc(PIECE))) != NULL)
        n++;
    for (size_t i = 0; i < n; i++)
        free(p[i]);
    return n;
}

/* Returns how many there are in a child process. So this process has not opened the memory for them
 * before mprotect is refused. */
static size_t count_pieces_of_child(void)
{
    size_t *n = mmap(NULL, sizeof *n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 1;
    if (n == MAP_FAILED)
        exit(2);
    pid_t child = fork();
    if (child == 0) {
        *n = count_pieces();
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        exit(2);
    return *n;
}

/* Whether nothing is lost of what threads and their caches had. */
static size_t npieces;
static bool is_all_free(void)
{
    enum { FEW = 4 };     /* what the program keeps lies in some of them */
    (void)count_pieces(); /* these lay around spans that are empty, and go back at the end */
    return count_pieces() >= npieces - FEW;
}

static void *ask_for_all(void *bad)
{
    return is_all_free() ? NULL : bad;
}

/* Allocates more objects of a size than the thread's cache may have slots for. */
static bool outgrow_cache(void)
{
    static void *p[500];
    size_t n = 0;
    while (n < sizeof p / sizeof p[0] && (p[n] = opaque(malloc(60000))) != NULL)
        n++;
    for (size_t i = 0; i < n; i++)
        free(p[i]);
    return n == sizeof p / sizeof p[0];
}

/* All that a program does without the barrier. What the first thread has freed can be had by
 * another one, too, when the first thread has needed more slots than its cache had since the system
 * refused the barrier, and has so given up its cache. */
static bool work_without_barrier(void)
{
    static struct worker w = {.seed = 77};
    void *bad = &w;
    pthread_t thread;
    return work_alone() && churn(&w, share_of(NSTEPS)) && work_in_threads() &&
           churn(&w, share_of(NSTEPS)) && finish(&w) && outgrow_cache() &&
           pthread_create(&thread, NULL, ask_for_all, bad) == 0 &&
           pthread_join(thread, &bad) == 0 && bad == NULL && is_all_free();
}

/* --- runs ----------------------------------------------------------------------------- */

/* In each of these, the process is a child of fork with one thread. It exits with 0 if all was
 * right, and with 77 if the system has no filters. */
static int run_alone(int unused)
{
    (void)unused;
    return !ONLY(SYS_mmap, SYS_mprotect, SYS_madvise) ? 77 : work_alone() ? 0 : 1;
}

static int run_fork(int unused)
{
    (void)unused;
    bool has = ONLY(SYS_mmap, SYS_mprotect, SYS_madvise, SYS_clone, SYS_wait4, SYS_set_robust_list,
                    SYS_rt_sigprocmask, SYS_rseq);
    return !has ? 77 : work_and_fork() ? 0 : 1;
}

static int run_without_madvise(int number)
{
    return !refuse(SYS_madvise, number) ? 77 : work_alone() && work_in_threads() ? 0 : 1;
}

/* What was opened before can be used as before. */
static int run_without_mprotect(int number)
{
    free(opaque(malloc(LARGE)));
    if (!refuse(SYS_mprotect, number))
        return 77;
    size_t n = count_pieces();
    bool ok = n > 0 && n < npieces && errno == ENOMEM;
    return ok && count_pieces() == n ? 0 : 1;
}

/* Threads come and go, then the system begins to refuse the barrier, and others come. When they
 * have ended, the first thread is alone again, and needs none. */
static int run_threads_before_and_after(int number)
{
    bool ok = work_in_threads();
    if (!refuse(SYS_membarrier, number))
        return 77;
    ok = ok && work_in_threads();
    return ok && is_all_free() ? 0 : 1;
}

/* The barrier is refused before the first thread starts, or before the program does. */
static int run_threads_after(int number)
{
    if (!refuse(SYS_membarrier, number))
        return 77;
    return work_without_barrier() ? 0 : 1;
}

static char *program;

static int run_program(const char *what, int number)
{
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    if (!refuse(SYS_membarrier, number))
        return 77;
    execl(program, program, what, text, (char *)NULL);
    return 127;
}

static int run_start_alone(int number)
{
    return run_program("alone", number);
}

static int run_start_threads(int number)
{
    return run_program("threads", number);
}

static void run(int (*what)(int number), int number, const char *title)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        alarm(PATIENCE);
        _exit(what(number));
    }
    bool ended = waitpid(child, &status, 0) == child;
    if (ended && WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        printf("ok %d # SKIP %s: the system has no filters (seccomp)\n", ++tap_ntests, title);
        return;
    }
    if (status != 0)
        printf("# status %d%s\n", status,
               WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? ": killed at a system call"
                                                                 : "");
    check(ended && status == 0, title);
}

int main(int argc, char **argv)
{
    program = argv[0];
    npieces = count_pieces_of_child();
    if (argc > 1) {
        alarm(PATIENCE);
        bool ok = strcmp(argv[1], "alone") == 0 ? work_alone() : work_without_barrier();
        return ok ? 0 : 1;
    }
    run(run_alone, 0, "M8 one thread makes no system call but mmap, mprotect and madvise");
    run(run_fork, 0, "M8 nor when it forks, and nor does its child");
    run(run_start_alone, 0, "M8 one thread starts and works where membarrier kills");
    run(run_threads_after, EPERM,
        "M8 membarrier is refused (EPERM) before the first thread starts");
    run(run_threads_after, ENOSYS,
        "M8 membarrier is refused (ENOSYS) before the first thread starts");
    run(run_start_threads, EPERM, "M8 membarrier is refused (EPERM) before the program starts");
    run(run_start_threads, ENOSYS, "M8 membarrier is refused (ENOSYS) before the program starts");
    run(run_threads_before_and_after, EPERM, "M8 membarrier is refused when threads have run");
    run(run_without_madvise, EPERM, "M8 madvise is refused");
    run(run_without_mprotect, ENOMEM, "M8 mprotect is refused: no space, and nothing is lost");
    return done();
}

/* SPDX-License-Identifier: MIT
 *
 * Checks that libmem-malloc.so calls no function of the C library that a program may replace where
 * the replacement must not allocate [M8]: madvise, clock_gettime, pthread_mutex_unlock and others.
 *
 *     m08_interposed          runs itself with allocating.so, which lies beside it
 *     m08_interposed work     does the work
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "tap.h"

enum { NTHREADS = 4, NROUNDS = 300, NLARGE = 400, LARGE = 200000 };

/* Allocates and frees objects of all kinds: in slots, in chunks, and of more than 1 MiB. Returns
 * whether free kept errno. */
static bool churn(void)
{
    static const size_t sizes[] = {24, 3000, 40000, LARGE, 3 << 20};
    enum { NSIZES = sizeof sizes / sizeof *sizes, NLIVE = 10 * NSIZES };
    void *live[NLIVE] = {NULL};
    bool kept = true;
    for (int round = 0; round < NROUNDS; round++) {
        size_t i = (size_t)round * 7 % NLIVE;
        errno = 1234;
        free(live[i]);
        kept = kept && errno == 1234;
        live[i] = opaque(round % 3 == 0 ? calloc(1, sizes[i % NSIZES]) : malloc(sizes[i % NSIZES]));
    }
    for (size_t i = 0; i < NLIVE; i++)
        free(live[i]);
    return kept && errno == 1234;
}

static void *churn_in_thread(void *unused)
{
    (void)unused;
    return churn() ? NULL : &churn;
}

/* Makes many pages dirty and frees them, twice. Returns how many bytes went back. */
static size_t grow_and_shrink(void)
{
    static void *p[NLARGE];
    size_t most = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < NLARGE; i++)
            memset(p[i] = opaque(malloc(LARGE)), 1, LARGE);
        most = resident();
        for (int i = 0; i < NLARGE; i++)
            free(p[i]);
        usleep(300000);
        churn();
    }
    malloc_trim(0);
    return most - resident();
}

static unsigned ncalls(void)
{
    void *found = dlsym(RTLD_DEFAULT, "allocating_ncalls");
    unsigned (*function)(void);
    memcpy(&function, &found, sizeof function);
    return function == NULL ? 0 : function();
}

static int be_the_program(void)
{
    struct timespec t = {0};
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    alarm(PATIENCE);
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned before = ncalls();
    clock_gettime(CLOCK_MONOTONIC, &t);
    check(ncalls() > before, "a call of the program's own reaches the replacement");
    madvise(page, 4096, MADV_DONTNEED);
    sched_yield();
    nanosleep(&(struct timespec){.tv_nsec = 1}, NULL);
    before = ncalls();
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    check(ncalls() == before + 2, "and so do those for a lock");
    before = ncalls();
    check(churn(), "one thread; free keeps errno");
    check(grow_and_shrink() >= (size_t)NLARGE / 2 * LARGE, "memory goes back to the system");
    check(ncalls() == before, "and the library has called none of the replacements");
    pthread_t thread[NTHREADS];
    bool ok = true;
    for (int i = 0; i < NTHREADS; i++)
        ok = ok && pthread_create(&thread[i], NULL, churn_in_thread, NULL) == 0;
    for (int i = 0; ok && i < NTHREADS; i++) {
        void *bad = NULL;
        ok = pthread_join(thread[i], &bad) == 0 && bad == NULL;
    }
    check(ok, "many threads");
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(churn() ? 0 : 1);
    check(waitpid(child, &status, 0) == child && status == 0, "a child of fork");
    return done();
}

int main(int argc, char **argv)
{
    static char preload[4096];
    const char *before = getenv("LD_PRELOAD"), *slash = strrchr(argv[0], '/');
    int n = slash == NULL ? 0 : (int)(slash + 1 - argv[0]);
    if (argc > 1)
        return be_the_program();
    snprintf(preload, sizeof preload, "%s:%.*sallocating.so", before == NULL ? "" : before, n,
             argv[0]);
    setenv("LD_PRELOAD", preload, 1);
    execl(argv[0], argv[0], "work", (char *)NULL);
    return 127;
}

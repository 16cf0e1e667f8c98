/* SPDX-License-Identifier: MIT
 *
 * census.c - finds leaks in a running program that was not built for it. A census counts
 * the live objects of each exact size, and by how many their number has grown since the
 * census before. A size that grows in every census is a leak.
 *
 *     make
 *     LD_PRELOAD="build/libmem-malloc.so build/examples/census.so" program &
 *     kill -USR2 $!        takes a census and prints it on standard error
 *
 * Another census is taken when the program ends.
 *
 * The example shows mem_walk, which calls a function for each piece of a heap. A signal
 * handler must not call mem_walk: it may have interrupted a call that holds the heap's lock,
 * and would wait for that lock forever. Therefore the handler only wakes a thread, and the
 * thread takes the census while the program goes on.
 */
#include <semaphore.h>
#include <signal.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../include/mem_heap.h"

enum { NSIZES = 1 << 14, SHOWN = 12 };

/* What was counted of one size. A kind stays in the hash table once it is there. The table
 * is static, so that a census adds no object to the heap that it counts. Objects of sizes
 * that find no room in the table are counted in nleft_out. */
struct kind {
    size_t size, n, n_before; /* n_before: what the census before has counted */
    bool is_used;
};
static struct kind kinds[NSIZES], shown[NSIZES];
static size_t nobjects, nbytes, nleft_out;

/* Returns the table's entry for the size, a new one if there was none; NULL if the table has
 * no room for it. The search goes on to the next entry after a collision, at most 64 times. */
static struct kind *kind_of(size_t size)
{
    for (size_t i = size * 0x9E3779B97F4A7C15 >> 50, tries = 0; tries < 64; i++, tries++) {
        struct kind *k = &kinds[i % NSIZES];
        if (!k->is_used)
            *k = (struct kind){.size = size, .is_used = true};
        if (k->size == size)
            return k;
    }
    return NULL;
}

/* The visitor: mem_walk calls it for each piece of the heap, live or free, in the order of
 * their addresses. It returns true to go on to the next piece. */
static bool count(const struct mem_piece *p, void *context)
{
    struct kind *k = p->live ? kind_of(p->size) : NULL;
    (void)context;
    nobjects += p->live;
    nbytes += p->live ? p->size : 0;
    nleft_out += p->live && k == NULL;
    if (k != NULL)
        k->n++;
    return true;
}

/* For qsort: the kind with the most bytes comes first. */
static int by_bytes(const void *a, const void *b)
{
    const struct kind *x = a, *y = b;
    size_t nx = x->n * x->size, ny = y->n * y->size;
    return (nx < ny) - (nx > ny);
}

/* Prints the kinds that have the most bytes. It sorts a copy, since a kind's index in the
 * table is where kind_of finds it. */
static void print(void)
{
    memcpy(shown, kinds, sizeof shown);
    qsort(shown, NSIZES, sizeof shown[0], by_bytes);
    fprintf(stderr, "census of process %d: %zu object%s, %zu byte%s live\n", (int)getpid(),
            nobjects, nobjects == 1 ? "" : "s", nbytes, nbytes == 1 ? "" : "s");
    fprintf(stderr, "%12s %12s %12s %14s\n", "size", "objects", "more", "bytes");
    for (size_t i = 0; i < SHOWN && shown[i].n > 0; i++)
        fprintf(stderr, "%12zu %12zu %+12td %14zu\n", shown[i].size, shown[i].n,
                (ptrdiff_t)(shown[i].n - shown[i].n_before), shown[i].n * shown[i].size);
    if (nleft_out > 0)
        fprintf(stderr, "%zu object%s of sizes for which the table has no room\n", nleft_out,
                nleft_out == 1 ? "" : "s");
}

/* Held while a census is taken. If the program ends meanwhile, its last census waits for the
 * lock. If it forks meanwhile, the fork waits: otherwise the child would begin with a lock
 * that is held by a thread which exists only in the parent. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void wait_for_it(void)
{
    pthread_mutex_lock(&lock);
}

static void go_on(void)
{
    pthread_mutex_unlock(&lock);
}

/* Counts everything and prints it. The census before becomes n_before first. */
static void take_census(void)
{
    wait_for_it();
    nobjects = nbytes = nleft_out = 0;
    for (size_t i = 0; i < NSIZES; i++) {
        kinds[i].n_before = kinds[i].n;
        kinds[i].n = 0;
    }
    if (mem_walk(mem_heap_of_process(), count, NULL) == MEM_OK)
        print();
    else
        fprintf(stderr, "census: %s\n", mem_strerror(mem_last_error()));
    go_on();
}

/* Posted once for each census that is asked for. sem_post is one of the few functions that a
 * signal handler may call (signal-safety(7)). */
static sem_t asked;

static void on_signal(int number)
{
    (void)number;
    sem_post(&asked);
}

/* The thread that takes the censuses. sem_wait also returns, with an error, when a signal
 * interrupts it; then nothing was asked for. */
static void *wait_and_count(void *unused)
{
    for (;;)
        if (sem_wait(&asked) == 0)
            take_census();
    return unused;
}

/* Runs when the library is loaded, before the program's main. */
__attribute__((constructor)) static void begin(void)
{
    pthread_t thread;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sem_init(&asked, 0, 0);
    pthread_atfork(wait_for_it, go_on, go_on);
    if (pthread_create(&thread, NULL, wait_and_count, NULL) == 0 && pthread_detach(thread) == 0)
        sigaction(SIGUSR2, &action, NULL);
}

/* Runs when the program returns from main or calls exit. */
__attribute__((destructor)) static void end(void)
{
    take_census();
}

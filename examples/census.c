/* SPDX-License-Identifier: MIT
 *
 * census.c - what lives in the heap of a program that knows nothing of it: so many objects
 * of each exact size, and how many more than the last time. What leaks is what grows.
 *
 *     LD_PRELOAD="build/libmem-malloc.so build/examples/census.so" program &
 *     kill -USR2 $!        a census on standard error; one more when it ends
 *
 * A signal handler may not walk a heap, whose lock it may have interrupted: it wakes a
 * thread that does. The program goes on meanwhile.
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

/* Of one size, in a hash table, for good. What does not fit into the table is left out, and
 * said. */
struct kind {
    size_t size, n, n_before;
    bool is_used;
};
static struct kind kinds[NSIZES], shown[NSIZES];
static size_t nobjects, nbytes, nleft_out;

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

static int by_bytes(const void *a, const void *b)
{
    const struct kind *x = a, *y = b;
    size_t nx = x->n * x->size, ny = y->n * y->size;
    return (nx < ny) - (nx > ny);
}

static void print(void)
{
    memcpy(shown, kinds, sizeof shown);
    qsort(shown, NSIZES, sizeof shown[0], by_bytes);
    fprintf(stderr, "census of process %d: %zu objects, %zu bytes live\n", (int)getpid(), nobjects,
            nbytes);
    fprintf(stderr, "%12s %12s %12s %14s\n", "size", "objects", "more", "bytes");
    for (size_t i = 0; i < SHOWN && shown[i].n > 0; i++)
        fprintf(stderr, "%12zu %12zu %+12td %14zu\n", shown[i].size, shown[i].n,
                (ptrdiff_t)(shown[i].n - shown[i].n_before), shown[i].n * shown[i].size);
    if (nleft_out > 0)
        fprintf(stderr, "%zu objects left out: too many sizes\n", nleft_out);
}

/* The program may end, or fork, while a census is taken. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void wait_for_it(void)
{
    pthread_mutex_lock(&lock);
}

static void go_on(void)
{
    pthread_mutex_unlock(&lock);
}

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

static sem_t asked;

static void on_signal(int number)
{
    (void)number;
    sem_post(&asked);
}

static void *wait_and_count(void *unused)
{
    for (;;)
        if (sem_wait(&asked) == 0)
            take_census();
    return unused;
}

__attribute__((constructor)) static void begin(void)
{
    pthread_t thread;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sem_init(&asked, 0, 0);
    pthread_atfork(wait_for_it, go_on, go_on);
    if (pthread_create(&thread, NULL, wait_and_count, NULL) == 0 && pthread_detach(thread) == 0)
        sigaction(SIGUSR2, &action, NULL);
}

__attribute__((destructor)) static void end(void)
{
    take_census();
}

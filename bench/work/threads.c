/* SPDX-License-Identifier: MIT
 *
 * threads.c - workloads with several threads.
 *
 *     server    threads end, and others continue with their objects
 *     handoff   one thread allocates, another thread frees
 *     exchange  each thread frees what it or another thread has allocated, by all of malloc's
 *               relatives
 *     crowd     many more threads than cores
 *     two       two threads that share no objects
 *
 * The numbers of threads are fixed, so that the sums and the work are the same on every
 * machine. Each thread has its own random numbers and its own sum. The time of an operation is
 * the wall time divided by the operations of all threads.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "work.h"

/* The data of one thread. Aligned, so that no two threads write to one cache line. */
struct part {
    _Alignas(128) pthread_t thread;
    uint64_t noperations;
    uint64_t state;
    uint64_t sum;
    void **objects;
    size_t nobjects;
    size_t least, most;  /* the range of their sizes */
    size_t ngenerations; /* server: the threads that still follow, this one included */
    sem_t *finished;
};

static struct part *parts_new(struct job *job, size_t nparts, size_t nobjects)
{
    struct part *parts = table_new(nparts * sizeof(*parts));

    for (size_t i = 0; i < nparts; i++) {
        parts[i].noperations = job->noperations / nparts + 1;
        parts[i].state = i;
        parts[i].nobjects = nobjects;
        parts[i].objects = table_new(nobjects * sizeof(void *));
    }
    job->noperations = nparts * parts[0].noperations;
    return parts;
}

static void replace(struct part *part, uint64_t noperations)
{
    for (uint64_t i = 0; i < noperations; i++) {
        size_t victim = draw_below(&part->state, part->nobjects);
        if (part->objects[victim] != NULL)
            part->sum += look(part->objects[victim]);
        free(part->objects[victim]);
        part->objects[victim] = must(malloc(draw_between(&part->state, part->least, part->most)));
        mark(part->objects[victim], i);
    }
}

static void clear(struct part *part)
{
    for (size_t i = 0; i < part->nobjects; i++) {
        if (part->objects[i] != NULL)
            part->sum += look(part->objects[i]);
        free(part->objects[i]);
    }
}

static void thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    if (pthread_create(thread, NULL, run, argument) != 0)
        die("cannot start a thread");
}

/* Starts a thread for each part, and waits until all have ended. */
static void run_parts(struct job *job, struct part *parts, size_t nparts, void *(*run)(void *))
{
    clock_start(job);
    for (size_t i = 0; i < nparts; i++)
        thread_start(&parts[i].thread, run, &parts[i]);
    for (size_t i = 0; i < nparts; i++) {
        pthread_join(parts[i].thread, NULL);
        job->sum += parts[i].sum;
    }
    clock_stop(job);
}

static void *replace_and_clear(void *argument)
{
    struct part *part = argument;
    replace(part, part->noperations);
    clear(part);
    return NULL;
}

/* --- many threads, two threads ----------------------------------------------- */

/* 64 threads, each with 300 objects of 16 to 512 bytes that it replaces at random. */
void run_crowd(struct job *job)
{
    enum { NTHREADS = 64 };
    struct part *parts = parts_new(job, NTHREADS, job->work->nlive);

    for (size_t i = 0; i < NTHREADS; i++)
        parts[i].least = 16, parts[i].most = 512;
    run_parts(job, parts, NTHREADS, replace_and_clear);
}

/* Two threads, each with 10,000 objects of 16 to 512 bytes that it replaces at random. */
void run_two_replace(struct job *job)
{
    struct part *parts = parts_new(job, 2, job->work->nlive);

    for (size_t i = 0; i < 2; i++)
        parts[i].least = 16, parts[i].most = 512;
    run_parts(job, parts, 2, replace_and_clear);
}

static void *pairs(void *argument)
{
    struct part *part = argument;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < part->noperations; i++) {
        void *object = must(malloc(part->least));
        mark(object, i);
        sum += look(object);
        free(object);
    }
    part->sum = sum;
    return NULL;
}

/* Two threads, each of which allocates and frees one object at a time. */
void run_two_pairs(struct job *job)
{
    struct part *parts = parts_new(job, 2, 1);

    for (size_t i = 0; i < 2; i++)
        parts[i].least = job->work->nbytes;
    run_parts(job, parts, 2, pairs);
}

/* --- a server ------------------------------------------------------------------ */

/* A thread replaces objects that another thread has left, starts the next thread, and ends. */
static void *serve(void *argument)
{
    struct part *part = argument;
    pthread_t next;

    replace(part, part->noperations);
    if (--part->ngenerations == 0) {
        sem_post(part->finished);
    } else {
        thread_start(&next, serve, part);
        pthread_detach(next);
    }
    return NULL;
}

/* Four threads at a time, each with 2,000 objects of 8 to 1,000 bytes. After 10,000
   replacements a thread hands its objects to a new thread, so each thread begins by freeing
   objects that other threads have allocated (Larson and Krishnan, ISMM 1998). */
void run_server(struct job *job)
{
    enum { NCHAINS = 4, NOPERATIONS = 10000 };
    struct part *parts = parts_new(job, NCHAINS, job->work->nlive);
    size_t ngenerations = (size_t)(parts[0].noperations / NOPERATIONS) + 1;
    pthread_t first;
    sem_t finished;

    sem_init(&finished, 0, 0);
    job->noperations = NCHAINS * ngenerations * NOPERATIONS;
    clock_start(job);
    for (size_t i = 0; i < NCHAINS; i++) {
        parts[i].least = 8, parts[i].most = 1000;
        parts[i].noperations = NOPERATIONS;
        parts[i].ngenerations = ngenerations;
        parts[i].finished = &finished;
        thread_start(&first, serve, &parts[i]);
        pthread_detach(first);
    }
    for (size_t i = 0; i < NCHAINS; i++)
        sem_wait(&finished);
    clock_stop(job);
    for (size_t i = 0; i < NCHAINS; i++) {
        clear(&parts[i]);
        job->sum += parts[i].sum;
    }
}

/* --- producer and consumer ------------------------------------------------------- */

enum { BATCH = 256, NBATCHES = 16 };

/* The producer puts batches into a ring, and the consumer takes them out. The semaphores count
   the free and the full places of the ring. */
struct ring {
    void *objects[NBATCHES][BATCH];
    uint64_t nbatches; /* in the whole run */
    uint64_t sum;
    size_t nbytes;
    sem_t nfree, nfull;
};

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0) {
    }
}

static void *produce(void *argument)
{
    struct ring *ring = argument;

    for (uint64_t batch = 0; batch < ring->nbatches; batch++) {
        wait_for(&ring->nfree);
        for (size_t i = 0; i < BATCH; i++) {
            void *object = must(malloc(ring->nbytes));
            mark(object, batch + i);
            ring->objects[batch % NBATCHES][i] = object;
        }
        sem_post(&ring->nfull);
    }
    return NULL;
}

static void *consume(void *argument)
{
    struct ring *ring = argument;

    for (uint64_t batch = 0; batch < ring->nbatches; batch++) {
        wait_for(&ring->nfull);
        for (size_t i = 0; i < BATCH; i++) {
            void *object = ring->objects[batch % NBATCHES][i];
            ring->sum += look(object);
            free(object);
        }
        sem_post(&ring->nfree);
    }
    return NULL;
}

/* One thread allocates objects of 64 bytes and another frees them, in batches of 256, through
   a ring of 16 batches. An operation is a malloc and its free. */
void run_handoff(struct job *job)
{
    struct ring *ring = table_new(sizeof(*ring));
    pthread_t producer, consumer;

    ring->nbatches = job->noperations / BATCH + 1;
    ring->nbytes = job->work->nbytes;
    job->noperations = ring->nbatches * BATCH;
    sem_init(&ring->nfree, 0, NBATCHES);
    sem_init(&ring->nfull, 0, 0);
    clock_start(job);
    thread_start(&producer, produce, ring);
    thread_start(&consumer, consume, ring);
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    clock_stop(job);
    job->sum = ring->sum;
}

/* --- exchange ---------------------------------------------------------------------- */

enum { EXCHANGED = 64 };

/* Where two threads leave objects for each other. Each thread has a half of it at a time. */
struct market {
    pthread_barrier_t both;
    void *half[2][EXCHANGED];
};

struct trader {
    struct part *part;
    struct market *market;
    unsigned number;
};

/* An object by one of three functions, of 8 to 16,383 bytes, small ones more often. That of calloc
   is read to the last byte, and the others are written to the last. */
static void *any_object(struct part *part, uint64_t i)
{
    size_t nbytes = draw_doubling(&part->state, 8, 11);
    void *object;
    switch (draw_below(&part->state, 4)) {
    case 0:
        object = must(calloc(1, nbytes));
        part->sum += look_all(object, nbytes);
        mark(object, i);
        return object;
    case 1:
        if (posix_memalign(&object, 64, nbytes) != 0)
            die("no aligned memory");
        break;
    default:
        object = must(malloc(nbytes));
        break;
    }
    mark_all(object, nbytes, i);
    return object;
}

/* A round: the thread puts new objects in the place of those in its half of the market, and of as
   many of its own. Then both threads change halves. */
static void *trade(void *argument)
{
    struct trader *trader = argument;
    struct part *part = trader->part;
    for (uint64_t i = 0, round = 0; i < part->noperations; round++) {
        void **half = trader->market->half[(trader->number + round) % 2];
        for (size_t k = 0; k < EXCHANGED; k++, i += 2) {
            void **mine = &part->objects[draw_below(&part->state, part->nobjects)];
            part->sum += (half[k] == NULL ? 0 : look(half[k])) + (*mine == NULL ? 0 : look(*mine));
            free(half[k]);
            free(*mine);
            half[k] = any_object(part, i);
            *mine = any_object(part, i + 1);
        }
        pthread_barrier_wait(&trader->market->both);
    }
    clear(part);
    return NULL;
}

/* Two threads, each with 512 objects that it replaces at random; half of what a thread frees comes
   from the other. An operation is a free and an allocation. */
void run_exchange(struct job *job)
{
    struct part *parts = parts_new(job, 2, job->work->nlive);
    struct market *market = table_new(sizeof(*market));
    struct trader traders[2];

    pthread_barrier_init(&market->both, NULL, 2);
    clock_start(job);
    for (unsigned i = 0; i < 2; i++) {
        traders[i] = (struct trader){&parts[i], market, i};
        thread_start(&parts[i].thread, trade, &traders[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(parts[i].thread, NULL);
    clock_stop(job);
    for (unsigned i = 0; i < 2; i++) {
        for (size_t k = 0; k < EXCHANGED; k++)
            free(market->half[i][k]);
        job->sum += parts[i].sum;
    }
}

/* SPDX-License-Identifier: MIT
 *
 * objects.c - workloads with small objects in one thread.
 *
 *     pair      malloc free malloc free ...
 *     batch     malloc x 1,000, then free x 1,000: in order, reversed or shuffled
 *     batches   batches of many sizes and lengths
 *     replace   n live objects; one chosen at random is freed, and another allocated
 *     skewed    likewise, few objects, most of them tiny, all written to the last byte
 */
#include <stdlib.h>

#include "work.h"

enum { NORDERS = 16 }; /* several orders, since the processor could learn a single one */

/* One object at a time. An operation is a malloc and its free. */
void run_pair(struct job *job)
{
    size_t nbytes = job->work->nbytes;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < job->noperations; i++) {
        void *object = must(malloc(nbytes));
        mark(object, i);
        sum += look(object);
        free(object);
    }
    job->sum = sum;
}

/* Allocates batches, and frees each in the next of the orders. An operation is a malloc and
   its free. */
static void run_orders(struct job *job, const uint32_t *orders, size_t norders)
{
    size_t nbytes = job->work->nbytes, n = job->work->nlive;
    void **objects = table_new(n * sizeof(*objects));
    uint64_t nbatches = job->noperations / n + 1, sum = 0;

    job->noperations = nbatches * n;
    clock_start(job);
    for (uint64_t batch = 0; batch < nbatches; batch++) {
        const uint32_t *order = orders + batch % norders * n;
        for (size_t i = 0; i < n; i++) {
            objects[i] = must(malloc(nbytes));
            mark(objects[i], batch + i);
        }
        for (size_t i = 0; i < n; i++) {
            sum += look(objects[order[i]]);
            free(objects[order[i]]);
        }
    }
    job->sum = sum;
}

/* Batches of 32 to 2,000 objects; those of one batch have one size, from 8 to 4,095 bytes. They are
   freed in the order in which they were allocated. An operation is a malloc and its free. */
void run_batches(struct job *job)
{
    void **objects = table_new(job->work->nlive * sizeof(*objects));
    uint64_t state = 1, sum = 0, ndone = 0;

    clock_start(job);
    while (ndone < job->noperations) {
        size_t n = draw_doubling(&state, 32, 6), nbytes = draw_doubling(&state, 8, 9);
        n = n < job->work->nlive ? n : job->work->nlive;
        for (size_t i = 0; i < n; i++) {
            objects[i] = must(malloc(nbytes));
            mark(objects[i], ndone + i);
        }
        for (size_t i = 0; i < n; i++) {
            sum += look(objects[i]);
            free(objects[i]);
        }
        ndone += n;
    }
    clock_stop(job);
    job->noperations = ndone;
    job->sum = sum;
}

static uint32_t *orders_new(size_t norders, size_t n)
{
    uint32_t *orders = table_new(norders * n * sizeof(*orders));
    for (size_t i = 0; i < norders * n; i++)
        orders[i] = (uint32_t)(i % n);
    return orders;
}

void run_in_order(struct job *job)
{
    run_orders(job, orders_new(1, job->work->nlive), 1);
}

void run_reversed(struct job *job)
{
    size_t n = job->work->nlive;
    uint32_t *order = orders_new(1, n);

    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)(n - 1 - i);
    run_orders(job, order, 1);
}

void run_shuffled(struct job *job)
{
    size_t n = job->work->nlive;
    uint32_t *orders = orders_new(NORDERS, n);
    uint64_t state = 1;

    for (size_t k = 0; k < NORDERS; k++) {
        uint32_t *order = orders + k * n;
        for (size_t i = n - 1; i > 0; i--) {
            size_t j = draw_below(&state, i + 1);
            uint32_t other = order[j];
            order[j] = order[i];
            order[i] = other;
        }
    }
    run_orders(job, orders, NORDERS);
}

/* Replaces objects of 16 to 512 bytes at random. Their number decides whether the processor's
   caches hold them. An operation is a free and a malloc; the first allocations and the last
   frees are not timed. At a scale below 1, millions of objects become fewer. */
void run_replace(struct job *job)
{
    size_t n = job->work->nlive;
    if (n > 100000 && job->scale < 1)
        n = (size_t)((double)n * job->scale) + 1;
    void **objects = table_new(n * sizeof(*objects));
    uint64_t state = 1, sum = 0;

    for (size_t i = 0; i < n; i++) {
        objects[i] = must(malloc(draw_between(&state, 16, 512)));
        mark(objects[i], i);
    }
    clock_start(job);
    for (uint64_t i = 0; i < job->noperations; i++) {
        size_t victim = draw_below(&state, n);
        sum += look(objects[victim]);
        free(objects[victim]);
        objects[victim] = must(malloc(draw_between(&state, 16, 512)));
        mark(objects[victim], i);
    }
    clock_stop(job);
    for (size_t i = 0; i < n; i++) {
        sum += look(objects[i]);
        free(objects[i]);
    }
    job->sum = sum;
}

/* 1,000 live objects, replaced at random, of 8 bytes to 32 KiB: the larger, the rarer, by the
   square of the size. Every byte is written, and the whole is small enough for the processor's
   caches, so what counts is whether an object comes from memory that was used just before. An
   operation is a free and a malloc. */
void run_skewed(struct job *job)
{
    size_t n = job->work->nlive;
    void **objects = table_new(n * sizeof(*objects));
    uint64_t state = 1, sum = 0;

    clock_start(job);
    for (uint64_t i = 0; i < job->noperations; i++) {
        size_t victim = draw_below(&state, n), nbytes = draw_skewed(&state, 8, 32 << 10);
        if (objects[victim] != NULL)
            sum += look(objects[victim]);
        free(objects[victim]);
        objects[victim] = must(malloc(nbytes));
        mark_all(objects[victim], nbytes, i);
    }
    clock_stop(job);
    for (size_t i = 0; i < n; i++)
        free(objects[i]);
    job->sum = sum;
}

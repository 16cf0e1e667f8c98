/* SPDX-License-Identifier: MIT
 *
 * replay.c - repeats the calls that a real program made, from a trace (tools/trace.h).
 *
 * Calls are made without pauses: what the program did between them is missing, and so are its
 * cache misses. The calls of each thread are decoded before the clock runs (decode.h). A thread
 * waits for the objects of others only, and so may run ahead of them until the end of a pass.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "decode.h"
#include "work.h"

/* --- calls ------------------------------------------------------------------------ */

/* Writes a word into each page, or one byte if the object is smaller than a word. */
static void mark_short(unsigned char *object, size_t nbytes, uint64_t word)
{
    if (nbytes >= sizeof(word))
        mark_pages(object, nbytes, word);
    else if (nbytes > 0)
        object[0] = (unsigned char)word;
}

static uint64_t look_short(const unsigned char *object, size_t nbytes)
{
    return nbytes >= sizeof(uint64_t) ? look(object) : nbytes > 0 ? object[0] : 0;
}

/* An entry of a thread's table. `bytes` is NULL if it is free. */
struct object {
    unsigned char *bytes;
    size_t nbytes;
};

static void *aligned(const struct call *call)
{
    void *memory;
    return posix_memalign(&memory, (size_t)1 << call->log2_alignment, call->number) == 0 ? memory
                                                                                         : NULL;
}

/* Makes one call. Returns what was read of the object before a free or after a realloc or
   calloc, otherwise 0. */
static uint64_t make_call(const struct call *call, struct object *object, uint64_t word)
{
    uint64_t sum = 0;

    if (call->event == TRACE_FREE) {
        sum = look_short(object->bytes, object->nbytes);
        free(object->bytes);
        *object = (struct object){0};
        return sum;
    }
    if (call->event == TRACE_REALLOC) {
        object->bytes = must(realloc(object->bytes, call->number));
        sum = look_short(object->bytes,
                         object->nbytes < call->number ? object->nbytes : call->number);
    } else if (call->event == TRACE_MALLOC) {
        object->bytes = must(malloc(call->number));
    } else if (call->event == TRACE_CALLOC) {
        object->bytes = must(calloc(1, call->number));
        sum = look_short(object->bytes, call->number);
    } else {
        object->bytes = must(aligned(call));
    }
    object->nbytes = call->number;
    mark_short(object->bytes, call->number, word);
    return sum;
}

/* --- threads ------------------------------------------------------------------------ */

/* Where an object waits for its next thread. Empty if `bytes` is NULL. */
struct box {
    _Atomic(unsigned char *) bytes;
    size_t nbytes;
};

/* What the threads share. */
struct replay {
    struct trace trace;
    struct box *boxes;
    uint64_t npasses;
    _Alignas(128) _Atomic(uint64_t) narrivals; /* of threads at the ends of passes */
};

struct player {
    _Alignas(128) struct replay *replay;
    pthread_t thread;
    const struct part *part;
    struct object *objects;
    uint64_t first_word; /* that the thread writes */
    uint64_t sum;
};

static void wait_a_little(unsigned nwaits)
{
    if (nwaits > 100)
        sched_yield();
#if defined(__x86_64__)
    else
        __builtin_ia32_pause();
#endif
}

static void give(struct box *box, struct object *object)
{
    box->nbytes = object->nbytes;
    atomic_store_explicit(&box->bytes, object->bytes, memory_order_release);
    *object = (struct object){0};
}

static void take(struct box *box, struct object *object)
{
    for (unsigned n = 0; object->bytes == NULL; n++) {
        object->bytes = atomic_load_explicit(&box->bytes, memory_order_acquire);
        if (object->bytes == NULL)
            wait_a_little(n);
    }
    object->nbytes = box->nbytes;
    atomic_store_explicit(&box->bytes, NULL, memory_order_relaxed);
}

/* Waits until all threads have ended the pass. Until then they may still take from the boxes. */
static void end_pass(struct replay *replay, uint64_t pass)
{
    uint64_t all = (pass + 1) * replay->trace.nparts;

    atomic_fetch_add(&replay->narrivals, 1);
    for (unsigned n = 0; atomic_load(&replay->narrivals) < all; n++)
        wait_a_little(n);
}

static void give_or_take(struct player *player, const struct call *call)
{
    struct box *box = &player->replay->boxes[call->number];
    struct object *object = &player->objects[call->slot];

    if (call->event == GIVE)
        give(box, object);
    else
        take(box, object);
}

static uint64_t free_the_rest(struct object *objects, size_t nslots)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < nslots; i++) {
        if (objects[i].bytes == NULL)
            continue;
        sum += look_short(objects[i].bytes, objects[i].nbytes);
        free(objects[i].bytes);
        objects[i] = (struct object){0};
    }
    return sum;
}

/* Objects that are live at the end of a pass are freed before the next. */
static void *play(void *argument)
{
    struct player *player = argument;
    const struct part *part = player->part;
    uint64_t sum = 0;

    for (uint64_t pass = 0; pass < player->replay->npasses; pass++) {
        for (size_t i = 0; i < part->ncalls; i++) {
            const struct call *call = &part->calls[i];
            if (call->event > TRACE_REALLOC)
                give_or_take(player, call);
            else
                sum += make_call(call, &player->objects[call->slot], player->first_word + i);
        }
        sum += free_the_rest(player->objects, part->nslots);
        end_pass(player->replay, pass);
    }
    player->sum = sum;
    return NULL;
}

static void player_init(struct player *player, struct replay *replay, unsigned number)
{
    player->replay = replay;
    player->part = &replay->trace.parts[number];
    player->objects = table_new((player->part->nslots + 1) * sizeof(struct object));
    player->first_word = (uint64_t)number << 56;
}

/* The calling thread is the first of the players. */
static uint64_t play_all(struct player *players, size_t nplayers)
{
    uint64_t sum = 0;

    for (size_t i = 1; i < nplayers; i++)
        if (pthread_create(&players[i].thread, NULL, play, &players[i]) != 0)
            die("cannot start a thread");
    play(&players[0]);
    for (size_t i = 0; i < nplayers; i++) {
        if (i > 0)
            pthread_join(players[i].thread, NULL);
        sum += players[i].sum;
    }
    return sum;
}

/* Repeats the trace until the number of operations is reached. An operation is a call of the
   trace. */
void run_replay(struct job *job)
{
    struct replay *replay = table_new(sizeof(*replay));
    struct player *players = table_new(MOST_THREADS * sizeof(*players));
    struct trace *trace = &replay->trace;

    *trace = trace_load(job->file);
    replay->boxes = table_new((trace->nboxes + 1) * sizeof(struct box));
    replay->npasses = (job->noperations + trace->ncalls - 1) / trace->ncalls;
    for (unsigned i = 0; i < trace->nparts; i++)
        player_init(&players[i], replay, i);
    clock_start(job);
    job->sum = play_all(players, trace->nparts);
    clock_stop(job);
    job->noperations = replay->npasses * trace->ncalls;
}

/* --- what is in a trace ------------------------------------------------------------ */

enum { NCLASSES = 33 }; /* of sizes: 0, 1, 2 to 3, 4 to 7, ... 2^31 to 2^32 - 1 */

static unsigned class_of(uint32_t nbytes)
{
    return nbytes == 0 ? 0 : 32u - (unsigned)__builtin_clz(nbytes);
}

static void print_events(const uint64_t *counts, size_t nlive)
{
    printf("%llu malloc, %llu calloc, %llu aligned, %llu realloc, %llu free; at most %zu objects "
           "at a time\n",
           (unsigned long long)counts[TRACE_MALLOC], (unsigned long long)counts[TRACE_CALLOC],
           (unsigned long long)counts[TRACE_ALIGNED], (unsigned long long)counts[TRACE_REALLOC],
           (unsigned long long)counts[TRACE_FREE], nlive);
}

/* The calls of all threads. */
struct counts {
    uint64_t of_event[TRACE_REALLOC + 1], of_class[NCLASSES], nallocated;
};

static void count(struct counts *counts, const struct part *part)
{
    for (size_t i = 0; i < part->ncalls; i++) {
        const struct call *call = &part->calls[i];
        if (call->event > TRACE_REALLOC)
            continue;
        counts->of_event[call->event]++;
        if (call->event != TRACE_FREE)
            counts->of_class[class_of(call->number)]++, counts->nallocated++;
    }
}

void print_sizes(const char *file)
{
    struct trace trace = trace_load(file);
    struct counts counts = {0};

    for (size_t i = 0; i < trace.nparts; i++)
        count(&counts, &trace.parts[i]);
    print_events(counts.of_event, trace.most_live);
    if (trace.nthreads > 1)
        printf("%zu threads, replayed by %zu; %zu times an object goes to another of these\n",
               trace.nthreads, trace.nparts, trace.nboxes);
    printf("%23s %10s %7s\n", "bytes", "calls", "share");
    for (unsigned k = 0; k < NCLASSES; k++) {
        unsigned long long least = k == 0 ? 0 : 1ull << (k - 1), most = k == 0 ? 0 : 2 * least - 1;
        if (counts.of_class[k] > 0)
            printf("%10llu .. %9llu %10llu %6.1f%%\n", least, most,
                   (unsigned long long)counts.of_class[k],
                   100 * (double)counts.of_class[k] / (double)counts.nallocated);
    }
}

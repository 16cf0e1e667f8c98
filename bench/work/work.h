/* SPDX-License-Identifier: MIT
 *
 * work.h - what the workloads of bench/work share.
 *
 *     W1  A workload makes the same calls on every allocator: numbers are drawn from a
 *         generator with a fixed seed, and sums do not depend on addresses or on the order in
 *         which threads run.
 *     W2  Each object is written after it is allocated and read before it is freed, and what
 *         was read is added up. If the sums on two allocators differ, one of them is wrong.
 *     W3  The workload's own tables come from mmap, are touched before the clock runs, and are
 *         subtracted from the memory.
 */
#ifndef WORK_H
#define WORK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct job;

/* A row of the table in work.c. */
struct work {
    const char *name;
    void (*run)(struct job *job);
    uint64_t noperations; /* at scale 1; glibc takes 0.3 to 1 s for them */
    size_t nbytes;        /* the size of an object, if all have the same */
    size_t nlive;         /* the number of live objects */
};

/* One run of a workload. */
struct job {
    const struct work *work;
    const char *file; /* replay: the trace */
    double scale;
    uint64_t noperations; /* to do; a workload may set it to what it has done */
    uint64_t sum;         /* of what was read from the objects */
    uint64_t began_ns;
    uint64_t took_ns; /* 0 while the clock runs */
    int64_t left_kib; /* resident after all was freed; -1 if not measured */
};

/* The clock runs while a workload runs. A workload that has something to prepare starts the
   clock anew after that; one that has something to clear away stops the clock before. */
void clock_start(struct job *job);
void clock_stop(struct job *job);

/* Returns memory that is zeroed and resident, and that is never freed. Ends the program if
   there is none. */
void *table_new(size_t nbytes);

/* Returns the resident memory of the process, without the tables. */
int64_t resident_kib(void);

/* Resets the peak of the memory, since it includes tables that are no longer there. */
void peak_forget(void);

/* Prints a message, as printf does, and ends the program. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- numbers (splitmix64: one word of state, good enough for sizes) -------- */

static inline uint64_t draw(uint64_t *state)
{
    uint64_t x = (*state += 0x9e3779b97f4a7c15u);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Returns a number from 0 to n - 1, for n below 2^32. */
static inline size_t draw_below(uint64_t *state, size_t n)
{
    return (size_t)(((draw(state) >> 32) * n) >> 32);
}

/* Returns a number from least to most, each with equal probability. */
static inline size_t draw_between(uint64_t *state, size_t least, size_t most)
{
    return least + draw_below(state, most - least + 1);
}

/* Returns a number from least to least * 2^ndoublings - 1: one of the doublings is drawn with
   equal probability, then a number in it. */
static inline size_t draw_doubling(uint64_t *state, size_t least, unsigned ndoublings)
{
    size_t low = least << draw_below(state, ndoublings);
    return low + draw_below(state, low);
}

/* Returns a number from least to most - 1, of which n is drawn with a probability that falls with
   the square of n: half of them are less than twice `least`. */
static inline size_t draw_skewed(uint64_t *state, size_t least, size_t most)
{
    double low = (double)least, high = (double)most;
    double part = (double)(draw(state) >> 32) / 4294967296.0; /* 0 or more, and less than 1 */
    return (size_t)(low * high / (high - part * (high - low)));
}

/* --- objects, of at least 8 bytes ------------------------------------------ */

/* Returns the object. Ends the program if it is NULL. */
static inline void *must(void *object)
{
    if (__builtin_expect(object == NULL, 0))
        die("malloc has no memory");
    return object;
}

static inline void mark(void *object, uint64_t word)
{
    memcpy(object, &word, sizeof(word));
}

static inline uint64_t look(const void *object)
{
    uint64_t word;
    memcpy(&word, object, sizeof(word));
    return word;
}

/* mark and look write and read the first word of an object; mark_all and look_all, all its
   bytes; mark_pages, a word in each page. */
void mark_all(void *object, size_t nbytes, uint64_t word);
void mark_pages(void *object, size_t nbytes, uint64_t word);
uint64_t look_all(const void *object, size_t nbytes);

/* --- the workloads ---------------------------------------------------------- */

/* objects.c */
void run_pair(struct job *job);
void run_in_order(struct job *job);
void run_reversed(struct job *job);
void run_shuffled(struct job *job);
void run_replace(struct job *job);
void run_skewed(struct job *job);
void run_batches(struct job *job);
/* blocks.c */
void run_medium(struct job *job);
void run_buffers(struct job *job);
void run_large(struct job *job);
void run_images(struct job *job);
void run_frames(struct job *job);
void run_strings(struct job *job);
void run_calloc(struct job *job);
void run_aligned(struct job *job);
void run_shrink(struct job *job);
/* phases.c */
void run_drift(struct job *job);
void run_tree(struct job *job);
void run_parser(struct job *job);
/* threads.c */
void run_server(struct job *job);
void run_handoff(struct job *job);
void run_crowd(struct job *job);
void run_two_pairs(struct job *job);
void run_two_replace(struct job *job);
void run_exchange(struct job *job);
/* replay.c */
void run_replay(struct job *job);
void print_sizes(const char *file);

#endif

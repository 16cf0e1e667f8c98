/* SPDX-License-Identifier: MIT
 *
 * work.h - what the workloads of bench/work share.
 *
 *     W1  A workload makes the same calls on every allocator: numbers are drawn
 *         from a generator with a fixed seed, sums do not depend on addresses or on
 *         which thread was first.
 *     W2  Each object is written when it is made and read when it goes; what was
 *         read is added up. The sum is the same on every allocator, or one is wrong.
 *     W3  The workload's own tables come from mmap, are touched before the clock runs,
 *         and are not counted as memory.
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
    uint64_t noperations; /* at scale 1: so many that glibc takes 0.3 to 1 s */
    size_t nbytes;        /* of an object, where all are alike */
    size_t nlive;         /* objects at a time */
};

/* One run of it. */
struct job {
    const struct work *work;
    const char *file; /* replay: the trace */
    double scale;
    uint64_t noperations; /* to be done; a workload may correct it to what it did */
    uint64_t sum;         /* of what was read back */
    uint64_t began_ns;
    uint64_t took_ns; /* 0 while the clock runs */
    int64_t left_kib; /* resident when all was freed; -1: not measured */
};

/* The clock runs while a workload runs, unless it has something to prepare or to
   clear away: then it is started anew, or stopped before. */
void clock_start(struct job *job);
void clock_stop(struct job *job);

/* Zeroed, resident, never freed. Ends the program if there is no memory. */
void *table_new(size_t nbytes);

/* Memory that the process has resident now. */
int64_t resident_kib(void);

/* Forgets the peak of the memory so far, and tables that are gone. */
void peak_forget(void);

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- numbers (splitmix64: one word of state, good enough for sizes) -------- */

static inline uint64_t draw(uint64_t *state)
{
    uint64_t x = (*state += 0x9e3779b97f4a7c15u);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* 0 .. n-1, for n below 2^32. */
static inline size_t draw_below(uint64_t *state, size_t n)
{
    return (size_t)(((draw(state) >> 32) * n) >> 32);
}

/* least .. most, each as likely. */
static inline size_t draw_between(uint64_t *state, size_t least, size_t most)
{
    return least + draw_below(state, most - least + 1);
}

/* least .. least * 2^ndoublings - 1: each doubling as likely, then each size in it. */
static inline size_t draw_doubling(uint64_t *state, size_t least, unsigned ndoublings)
{
    size_t low = least << draw_below(state, ndoublings);
    return low + draw_below(state, low);
}

/* --- objects, of at least 8 bytes ------------------------------------------ */

/* Never NULL: without memory there is nothing to measure. */
static inline void *must(void *object)
{
    if (__builtin_expect(object == NULL, 0))
        die("no memory");
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

/* Every byte; or, of what is longer than a page, a word in each page. */
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
/* blocks.c */
void run_medium(struct job *job);
void run_large(struct job *job);
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
/* replay.c */
void run_replay(struct job *job);
void print_sizes(const char *file);

#endif

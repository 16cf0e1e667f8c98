/* SPDX-License-Identifier: MIT
 *
 * blocks.c - workloads with medium and large blocks, and with the relatives of malloc.
 */
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "work.h"

struct block {
    unsigned char *bytes;
    size_t nbytes;
    size_t capacity; /* of a string that grows by half */
};

/* --- blocks of 8 KiB to 4 MiB ---------------------------------------------- */

/* Every `whole`-th block is written in each of its pages, the others only at both ends: most
   programs use what they allocate, but not all of it. An operation is a free and a malloc. */
static void replace_blocks(struct job *job, size_t least, unsigned ndoublings, unsigned whole)
{
    size_t n = job->work->nlive;
    struct block *blocks = table_new(n * sizeof(*blocks));
    uint64_t state = 1, sum = 0;

    clock_start(job);
    for (uint64_t i = 0; i < job->noperations; i++) {
        struct block *b = &blocks[draw_below(&state, n)];
        if (b->bytes != NULL)
            sum += look(b->bytes) + b->bytes[b->nbytes - 1];
        free(b->bytes);
        b->nbytes = draw_doubling(&state, least, ndoublings);
        b->bytes = must(malloc(b->nbytes));
        if (i % whole == 0)
            mark_pages(b->bytes, b->nbytes, i);
        mark(b->bytes, i);
        b->bytes[b->nbytes - 1] = (unsigned char)i;
    }
    clock_stop(job);
    for (size_t i = 0; i < n; i++)
        free(blocks[i].bytes);
    job->sum = sum;
}

/* 500 live blocks of 8 to 64 KiB, like the buffers of files and sockets. */
void run_medium(struct job *job)
{
    replace_blocks(job, 8 << 10, 3, 4);
}

/* 30 live blocks of 64 KiB to 4 MiB, like images and tables that are rebuilt. */
void run_large(struct job *job)
{
    replace_blocks(job, 64 << 10, 6, 4);
}

/* 100 live blocks of 16 to 64 KiB, of which only the ends are written: what a pool of buffers
   costs that is written by hardware, or hardly at all. */
void run_buffers(struct job *job)
{
    replace_blocks(job, 16 << 10, 2, UINT_MAX);
}

/* 16 live blocks of 1 to 8 MiB, each of them written in all its pages. With every block comes a
   small object, which lives ten times as long, so that it may keep the blocks apart. The peak
   memory is what matters. An operation is a free and a malloc of a block. */
void run_images(struct job *job)
{
    enum { NNOTES = 160 };
    size_t n = job->work->nlive;
    struct block *blocks = table_new(n * sizeof(*blocks));
    void **notes = table_new(NNOTES * sizeof(*notes));
    uint64_t state = 1, sum = 0;

    clock_start(job);
    for (uint64_t i = 0; i < job->noperations; i++) {
        struct block *b = &blocks[draw_below(&state, n)];
        void **note = &notes[draw_below(&state, NNOTES)];
        if (b->bytes != NULL)
            sum += look(b->bytes);
        free(b->bytes);
        b->nbytes = draw_doubling(&state, 1 << 20, 3);
        b->bytes = must(malloc(b->nbytes));
        mark_pages(b->bytes, b->nbytes, i);
        if (*note != NULL)
            sum += look(*note);
        free(*note);
        *note = must(malloc(draw_between(&state, 16, 512)));
        mark(*note, i);
    }
    clock_stop(job);
    for (size_t i = 0; i < n; i++)
        free(blocks[i].bytes);
    for (size_t i = 0; i < NNOTES; i++)
        free(notes[i]);
    job->sum = sum;
}

/* 4 live blocks of 4 to 32 MiB, replaced in turn, and written to the last byte: frames of a film,
   or matrices. An operation is a free and a malloc. */
void run_frames(struct job *job)
{
    size_t n = job->work->nlive;
    struct block *blocks = table_new(n * sizeof(*blocks));
    uint64_t state = 1, sum = 0;

    clock_start(job);
    for (uint64_t i = 0; i < job->noperations; i++) {
        struct block *b = &blocks[i % n];
        if (b->bytes != NULL)
            sum += look(b->bytes) + b->bytes[b->nbytes - 1];
        free(b->bytes);
        b->nbytes = draw_doubling(&state, 4 << 20, 3);
        b->bytes = must(malloc(b->nbytes));
        mark_all(b->bytes, b->nbytes, i);
    }
    clock_stop(job);
    for (size_t i = 0; i < n; i++)
        free(blocks[i].bytes);
    job->sum = sum;
}

/* --- realloc ----------------------------------------------------------------- */

/* Appends to a string. The sum shows whether realloc has copied the string when it moved. */
static uint64_t append(struct block *s, size_t nadded, unsigned char byte)
{
    size_t nbytes = s->nbytes + nadded;

    if (nbytes > s->capacity) {
        s->bytes = must(realloc(s->bytes, nbytes));
        s->capacity = nbytes;
    }
    uint64_t sum = s->nbytes > 0 ? s->bytes[0] + s->bytes[s->nbytes - 1] : 0;
    memset(s->bytes + s->nbytes, byte, nadded);
    s->nbytes = nbytes;
    return sum;
}

/* Enlarges the capacity by half, as containers do. */
static void make_room(struct block *s, size_t nadded)
{
    if (s->nbytes + nadded <= s->capacity)
        return;
    s->capacity += s->capacity / 2 + nadded;
    s->bytes = must(realloc(s->bytes, s->capacity));
}

/* Each operation appends 1 to 48 bytes to one of 200 strings, chosen at random. The even
   strings call realloc each time, and grow to 2 KiB. The odd strings enlarge their capacity by
   half when it is used up, and grow to 128 KiB. A string that is full is freed and begins
   anew. */
void run_strings(struct job *job)
{
    size_t n = job->work->nlive;
    struct block *strings = table_new(n * sizeof(*strings));
    uint64_t state = 1, sum = 0;

    clock_start(job);
    for (uint64_t i = 0; i < job->noperations; i++) {
        size_t k = draw_below(&state, n), nadded = draw_between(&state, 1, 48);
        struct block *s = &strings[k];
        if (k % 2 != 0)
            make_room(s, nadded);
        sum += append(s, nadded, (unsigned char)i);
        if (s->nbytes > (k % 2 != 0 ? 128u << 10 : 2u << 10)) {
            free(s->bytes);
            *s = (struct block){0};
        }
    }
    clock_stop(job);
    for (size_t i = 0; i < n; i++)
        free(strings[i].bytes);
    job->sum = sum;
}

/* --- calloc and aligned memory ------------------------------------------------ */

/* 100 live blocks of 64 bytes to 256 KiB, small ones more often. Every byte is read and must
   be 0, and is written before the block is freed. An operation is a calloc and a free. */
void run_calloc(struct job *job)
{
    size_t n = job->work->nlive;
    struct block *blocks = table_new(n * sizeof(*blocks));
    uint64_t state = 1, sum = 0;

    clock_start(job);
    for (uint64_t i = 0; i < job->noperations; i++) {
        struct block *b = &blocks[draw_below(&state, n)];
        unsigned ndoublings = i % 32 == 0 ? 12 : 6;
        if (b->bytes != NULL)
            mark_all(b->bytes, b->nbytes, i);
        free(b->bytes);
        b->nbytes = draw_doubling(&state, 64, ndoublings);
        b->bytes = must(calloc(1, b->nbytes));
        sum += look_all(b->bytes, b->nbytes) + b->nbytes;
    }
    clock_stop(job);
    for (size_t i = 0; i < n; i++)
        free(blocks[i].bytes);
    job->sum = sum;
}

/* 1,000 live objects of 32 to 2,048 bytes, aligned to 32 to 4,096 bytes, small ones more
   often. An operation is a posix_memalign and a free. A misaligned address changes the sum. */
void run_aligned(struct job *job)
{
    size_t n = job->work->nlive;
    void **objects = table_new(n * sizeof(*objects));
    uint64_t state = 1, sum = 0;

    clock_start(job);
    for (uint64_t i = 0; i < job->noperations; i++) {
        size_t victim = draw_below(&state, n);
        size_t alignment = (size_t)32 << draw_below(&state, draw_between(&state, 1, 8));
        if (objects[victim] != NULL)
            sum += look(objects[victim]);
        free(objects[victim]);
        if (posix_memalign(&objects[victim], alignment, draw_doubling(&state, 32, 6)) != 0)
            die("no aligned memory");
        sum += ((uintptr_t)objects[victim] & (alignment - 1)) << 40;
        mark(objects[victim], i);
    }
    clock_stop(job);
    for (size_t i = 0; i < n; i++)
        free(objects[i]);
    job->sum = sum;
}

/* --- what remains ---------------------------------------------------------------- */

/* Makes a malloc and a free every 10 ms, since some allocators give memory back only when they
   are called. */
static void idle_for_a_second(void)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    for (int i = 0; i < 100; i++) {
        void *object = must(malloc(64));
        mark(object, 1);
        free(object);
        nanosleep(&pause, NULL);
    }
}

/* A program that needs much memory for a while: 400 MiB in objects of 16 to 2,048 bytes, all
   of them written. Then all are freed, every 64th object after the others. An operation is a
   malloc and its free. left_kib is what is still resident a second later. */
void run_shrink(struct job *job)
{
    size_t n = (size_t)job->noperations;
    void **objects = table_new(n * sizeof(*objects));
    uint64_t state = 1, sum = 0;

    clock_start(job);
    for (size_t i = 0; i < n; i++) {
        size_t nbytes = draw_between(&state, 16, 2048);
        objects[i] = must(malloc(nbytes));
        mark_all(objects[i], nbytes, i);
    }
    for (size_t i = 0; i < n; i++) {
        sum += look(objects[i]);
        if (i % 64 != 0)
            free(objects[i]);
    }
    for (size_t i = 0; i < n; i += 64)
        free(objects[i]);
    clock_stop(job);
    idle_for_a_second();
    job->left_kib = resident_kib();
    job->sum = sum;
}

/* SPDX-License-Identifier: MIT
 *
 * Checks how much memory a program still has resident a second after it freed its objects, or
 * after malloc_trim if a few are left everywhere; and that a large table of calloc's has memory
 * only where the program uses it [M6].
 *
 *     m06_shrink [MIB]     how much memory it uses before; 1024 by default
 */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tap.h"

static char **object;
static size_t nobjects;
static _Atomic size_t reached[2];

static void free_in_order(void)
{
    for (size_t i = 0; i < nobjects; i++) {
        free(object[i]);
    }
}

static void free_shuffled(void)
{
    uint64_t seed = nobjects;
    for (size_t i = 0; i < nobjects; i++) {
        size_t other = i + rnd(&seed, (uint32_t)(nobjects - i));
        char *p = object[other];
        object[other] = object[i];
        free(p);
    }
}

/* Frees the objects with even or with odd numbers, and never gets far ahead of the other thread. */
static void *free_half(void *first)
{
    enum { STEP = 512 };
    size_t me = (uintptr_t)first;
    for (size_t i = me; i < nobjects; i += 2) {
        if (i % STEP == me) {
            reached[me] = i;
            while (reached[1 - me] + STEP < i) {
            }
        }
        free(object[i]);
    }
    reached[me] = SIZE_MAX - STEP;
    return NULL;
}

static void free_by_two(void)
{
    pthread_t thread;
    reached[0] = reached[1] = 0;
    free(malloc(1));
    bool started = pthread_create(&thread, NULL, free_half, (void *)(uintptr_t)1) == 0;
    check(started, "a second thread");
    free_half((void *)0);
    pthread_join(thread, NULL);
}

static void grow_and_shrink(size_t mib, size_t nbytes, const char *how, void (*free_all)(void))
{
    nobjects = (mib << 20) / nbytes;
    object = malloc(nobjects * sizeof *object);
    for (size_t i = 0; i < nobjects; i++) {
        object[i] = malloc(nbytes);
        memset(object[i], 1, nbytes);
    }
    size_t before = resident() >> 20;
    free_all();
    free(object);
    sleep(1);
    size_t after = resident() >> 20;
    printf("# %zu bytes, %s: %zu MiB, a second later %zu\n", nbytes, how, before, after);
    check(before >= mib && after < mib / 16, "M6 a sixteenth at most is left");
}

/* An object shrinks in place. */
static void shrink_in_place(size_t mib)
{
    char *p = malloc(mib << 20);
    memset(p, 1, mib << 20);
    size_t before = resident() >> 20;
    p = realloc(p, 100);
    sleep(1);
    check(before >= mib && (resident() >> 20) < mib / 16, "M6 realloc to less gives memory back");
    free(p);
}

/* One object of 32 is left, in slots of that size. */
static void trim_among_objects(size_t mib, size_t nbytes)
{
    enum { LEFT = 32 };
    nobjects = (mib << 20) / nbytes;
    object = malloc(nobjects * sizeof *object);
    for (size_t i = 0; i < nobjects; i++) {
        object[i] = malloc(nbytes);
        memset(object[i], 1, nbytes);
    }
    for (size_t i = 0; i < nobjects; i++) {
        if (i % LEFT != 0) {
            free(object[i]);
            object[i] = NULL;
        }
    }
    bool trimmed = malloc_trim(0) == 1;
    size_t after = resident() >> 20, nwhole = 0;
    for (size_t i = 0; i < nobjects; i += LEFT) {
        nwhole += all_are(object[i], 1, nbytes);
    }
    printf("# 1 of %d objects of %zu bytes left: %zu MiB of %zu\n", LEFT, nbytes, after, mib);
    check(trimmed && after < mib / 8 + 8, "M6 malloc_trim gives back what is free among objects");
    check(nwhole == (nobjects + LEFT - 1) / LEFT, "M6 and leaves the objects alone");
    free_in_order();
    free(object);
}

/* A table of which little is used, made again and again. */
static void sparse_tables(void)
{
    enum { TABLE = 512 << 20, NUSED = 10, LIVE = 128 << 20 };
    bool are_zero = true;
    size_t most = 0;
    char *live = malloc(LIVE);
    memset(live, 1, LIVE);
    for (int round = 0; round < 5; round++) {
        char *table = opaque(calloc(1, TABLE));
        for (size_t i = 0; i < NUSED; i++) {
            are_zero &= table[i * (TABLE / NUSED)] == 0;
            table[i * (TABLE / NUSED)] = 1;
        }
        size_t now = resident() >> 20;
        most = now > most ? now : most;
        free(table);
    }
    free(live);
    check(are_zero && most < (LIVE >> 20) + 64,
          "M6 a table of calloc's has memory only where it is used");
}

int main(int argc, char **argv)
{
    size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 1024;
    sparse_tables();
    shrink_in_place(mib);
    grow_and_shrink(mib, 256, "in order", free_in_order);
    grow_and_shrink(mib, 256, "by two threads", free_by_two);
    grow_and_shrink(mib, 256, "shuffled", free_shuffled);
    for (size_t nbytes = 32; nbytes <= 1 << 20; nbytes *= 18) {
        grow_and_shrink(mib, nbytes, "shuffled", free_shuffled);
    }
    for (size_t nbytes = 8000; nbytes <= 64000; nbytes *= 2) {
        trim_among_objects(mib / 8, nbytes);
    }
    return done();
}

/* SPDX-License-Identifier: MIT
 *
 * Checks how much memory a program still has resident a second after it freed its objects [M6].
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

int main(int argc, char **argv)
{
    size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 1024;
    shrink_in_place(mib);
    grow_and_shrink(mib, 256, "in order", free_in_order);
    grow_and_shrink(mib, 256, "by two threads", free_by_two);
    grow_and_shrink(mib, 256, "shuffled", free_shuffled);
    for (size_t nbytes = 32; nbytes <= 1 << 20; nbytes *= 18) {
        grow_and_shrink(mib, nbytes, "shuffled", free_shuffled);
    }
    return done();
}

/* SPDX-License-Identifier: MIT
 *
 * inspected.c [THREADS [OBJECTS]] - makes objects in heaps of all kinds, and prints what it knows
 * of them, so that test/inspect.sh can compare that with what the tool says from outside.
 *
 *     live ADDRESS SIZE HEAP  an object: of malloc, of the classic calls, or in a heap of its own
 *     free ADDRESS            the first byte of one that was freed
 *     name ADDRESS NAME       a variable, or a function
 *     points ADDRESS OBJECT   an object whose first word is the address of another one
 *     count SIZE N BYTES      there are N objects of that size, which no other code asks for
 *     ready
 *
 * Then it waits until standard input ends, while THREADS threads take and free objects. At last it
 * prints "alive" and how many signals it has received, and its exit status is 0 if its heaps are
 * sound.
 */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "mem_heap.h"
#include "heaps/header.h"

int a_variable = 42;
static int nsignals; /* any thread may get one */
static volatile int is_over;
static mem_heap *own; /* one of those of its own */

static void live(const void *address, size_t size, const char *heap)
{
    printf("live %p %zu %s\n", address, size, heap);
}

static void note_signal(int number)
{
    (void)number;
    __atomic_fetch_add(&nsignals, 1, __ATOMIC_RELAXED);
}

/* SIGUSR1: from now on one heap is in the middle of a change; or it is no longer. */
static void toggle_change(int number)
{
    (void)number;
    own->changes ^= 1;
}

/* Takes and frees objects of all sizes, as fast as it can. */
static void *churn(void *seed)
{
    enum { N = 500, MOST = 40000 };
    static _Thread_local void *objects[N];
    uint32_t random = (uint32_t)(uintptr_t)seed;
    while (!is_over) {
        random = random * 1664525 + 1013904223;
        size_t i = random >> 8 & 0xFFFF;
        free(objects[i % N]);
        objects[i % N] = malloc((random >> 16) % (i % 16 == 0 ? MOST : 400) + 1);
    }
    return NULL;
}

static void make_malloc(size_t nobjects)
{
    enum { N = 1001, ODD = 1237 };
    static void *objects[N];
    static void **many;
    many = malloc(nobjects * sizeof *many);
    for (size_t i = 0; i < nobjects; i++)
        many[i] = malloc(24 + i % 64);
    for (size_t i = 0; i < N; i++)
        objects[i] = malloc(ODD);
    free(objects[N - 1]);
    printf("free %p\n", objects[N - 1]);
    printf("count %d %d %d\n", ODD, N - 1, ODD * (N - 1));
    live(objects[0], ODD, "malloc");
    live(malloc(300001), 300001, "malloc");
    live(malloc(50001), 50001, "malloc");
    live(malloc(7), 7, "malloc");
    void **pointer = malloc(40);
    memset(pointer, 0, 40);
    pointer[0] = objects[1];
    pointer[1] = &a_variable;
    live(pointer, 40, "malloc");
    printf("points %p %p\n", (void *)pointer, objects[1]);
}

static void make_classic(void)
{
    if (Mem_Init(1 << 20) != 0)
        exit(3);
    for (int i = 1; i <= 5; i++)
        live(Mem_Alloc(i * 1111), (size_t)i * 1111, "classic");
    void *p = Mem_Alloc(99999);
    Mem_Free(p);
    printf("free %p\n", p);
}

/* A heap of the program's own, with a few objects. */
static void make_own(mem_heap *heap, size_t unit)
{
    if (heap == NULL)
        exit(4);
    for (size_t i = 1; i <= 4; i++)
        live(mem_alloc(heap, i * unit), i * unit, "own");
    void *p = mem_alloc(heap, unit);
    mem_free(heap, p);
    printf("free %p\n", p);
}

int main(int argc, char **argv)
{
    size_t nthreads = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    static char buffer[4096];
    pthread_t thread;
    signal(SIGUSR1, toggle_change);
    signal(SIGRTMIN + 1, note_signal); /* each of these is delivered, however many wait */
    make_malloc(argc > 2 ? strtoul(argv[2], NULL, 10) : 1000);
    make_classic();
    own = mem_heap_in(buffer, sizeof buffer, NULL);
    make_own(own, 17);
    make_own(mem_heap_create(8 << 20, NULL), 123);
    make_own(mem_heap_create(1 << 20, &(struct mem_options){.flags = MEM_GUARD_PAGES}), 77);
    make_own(mem_heap_create(4 << 20, &(struct mem_options){.limit = 1 << 20}), 131);
    make_own(mem_heap_in(malloc(65536), 65536, &(struct mem_options){.flags = MEM_SLOTS}), 19);
    printf("name %p a_variable\n", (void *)&a_variable);
    printf("name %p main\n", (void *)(uintptr_t)main);
    for (size_t i = 0; i < nthreads; i++)
        if (pthread_create(&thread, NULL, churn, (void *)(i + 1)) != 0)
            exit(5);
    printf("ready\n");
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) != 0)
        ;
    usleep(100000); /* for handlers that have begun */
    is_over = 1;
    printf("alive, %d signals\n", __atomic_load_n(&nsignals, __ATOMIC_RELAXED));
    mem_heap *process = mem_heap_of_process();
    return Mem_Check() == 0 && (process == NULL || mem_check(process, NULL) == MEM_OK) ? 0 : 6;
}

/* SPDX-License-Identifier: MIT
 *
 * malloc.c - fuzz target: bytes choose the calls of up to four threads to the malloc family of
 * libmem-malloc.so, whose functions have names of their own here (fuzz.mk), so that the sanitizers
 * keep theirs. Threads free each other's objects, and make bad frees, which must change nothing.
 *
 *     bytes   [threads][ those of thread 0 ][ those of thread 1 ] ...    equal parts
 *
 * Each object is filled with a number that no other has, and that is looked at when it is freed or
 * resized. When all threads have ended and all objects were freed, the heap is checked, and nothing
 * is live.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/pieces.h"
#include "malloc/start.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void *fuzzed_malloc(size_t size);
void *fuzzed_calloc(size_t n, size_t size);
void *fuzzed_realloc(void *object, size_t size);
void *fuzzed_reallocarray(void *object, size_t n, size_t size);
void *fuzzed_memalign(size_t align, size_t size);
void *fuzzed_aligned_alloc(size_t align, size_t size);
int fuzzed_posix_memalign(void **object, size_t align, size_t size);
void *fuzzed_valloc(size_t size);
void *fuzzed_pvalloc(size_t size);
void fuzzed_free(void *object);
void fuzzed_free_sized(void *object, size_t size);
size_t fuzzed_malloc_usable_size(void *object);
struct mallinfo2 fuzzed_mallinfo2(void);
int fuzzed_malloc_trim(size_t pad);

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { NTHREADS = 4, NOBJECTS = 64, NSHARED = 8, LARGE = 1 << 18 };

struct owned {
    unsigned char *start;
    size_t size;
    uint64_t mark;
};

static struct thread_of_fuzz {
    const uint8_t *next, *end;
    struct owned object[NOBJECTS];
    uint64_t nmarks;
    unsigned number;
    bool has_trimmed;
    bool is_there, exits; /* it is kept for inputs to come, and ends with this one */
    pthread_t id;
    sem_t begins, has_ended;
} threads[NTHREADS];

/* Objects on their way from one thread to another: each is owned by the thread that has taken it
 * out. */
static struct owned shared[NSHARED];
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;

/* --- objects -------------------------------------------------------------------------- */

static size_t edge_of(size_t size)
{
    return size < sizeof(uint64_t) ? size : sizeof(uint64_t);
}

static void write_mark(const struct owned *o)
{
    size_t edge = edge_of(o->size);
    memcpy(o->start, &o->mark, edge);
    memcpy(o->start + o->size - edge, &o->mark, edge);
}

static void check_mark(const struct owned *o, size_t size)
{
    size_t edge = edge_of(o->size < size ? o->size : size);
    bool overlaps = o->size < 2 * sizeof(uint64_t); /* the last bytes lie over the first */
    EXPECT(overlaps || memcmp(o->start, &o->mark, edge) == 0);
    edge = edge_of(o->size);
    EXPECT(size < o->size || memcmp(o->start + o->size - edge, &o->mark, edge) == 0);
}

static uint8_t take_byte(struct thread_of_fuzz *t)
{
    return t->next < t->end ? *t->next++ : 0;
}

/* Mostly small; then sizes around powers of two. */
static size_t take_size(struct thread_of_fuzz *t)
{
    uint8_t kind = take_byte(t);
    if (kind < 160)
        return take_byte(t);
    if (kind < 230)
        return (size_t)take_byte(t) << 4 | (kind & 15);
    size_t size = ((size_t)1 << take_byte(t) % 19) + take_byte(t);
    return size - (size > 128 ? 128 : 0);
}

static void note_new(struct thread_of_fuzz *t, struct owned *o, void *start, size_t size)
{
    if (start == NULL) { /* the region is small */
        EXPECT(errno == ENOMEM);
        *o = (struct owned){0};
        return;
    }
    EXPECT(size < 16 || (uintptr_t)start % 16 == 0);
    EXPECT(fuzzed_malloc_usable_size(start) >= size);
    *o = (struct owned){start, size, ((uint64_t)t->number + 1) << 56 | ++t->nmarks};
    write_mark(o);
}

static bool is_all_zero(const unsigned char *bytes, size_t n)
{
    return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

static void take_object(struct thread_of_fuzz *t, struct owned *o)
{
    uint8_t how = take_byte(t);
    size_t size = take_size(t), align = (size_t)1 << how % 14;
    void *p = NULL;
    errno = 0;
    switch (how % 8) {
    case 0:
        p = fuzzed_calloc(1 + how % 3, size);
        size *= 1 + how % 3;
        EXPECT(p == NULL || is_all_zero(p, size));
        break;
    case 1:
        p = how & 64 ? fuzzed_memalign(align, size) : fuzzed_aligned_alloc(align, size);
        EXPECT((uintptr_t)p % align == 0);
        break;
    case 2:
        align = align < sizeof(void *) ? sizeof(void *) : align;
        errno = fuzzed_posix_memalign(&p, align, size);
        EXPECT((uintptr_t)p % align == 0);
        break;
    case 3:
        p = how & 64 ? fuzzed_valloc(size) : fuzzed_pvalloc(size);
        EXPECT((uintptr_t)p % (size_t)sysconf(_SC_PAGESIZE) == 0);
        break;
    default:
        p = fuzzed_malloc(size);
    }
    note_new(t, o, p, size);
}

static void free_object(struct owned *o, bool is_sized)
{
    check_mark(o, o->size);
    errno = 4711;
    if (is_sized)
        fuzzed_free_sized(o->start, o->size);
    else
        fuzzed_free(o->start);
    EXPECT(errno == 4711);
    *o = (struct owned){0};
}

static void resize_object(struct thread_of_fuzz *t, struct owned *o)
{
    size_t size = 1 + take_size(t);
    errno = 0;
    void *p = size & 1 ? fuzzed_realloc(o->start, size) : fuzzed_reallocarray(o->start, 1, size);
    if (p == NULL) {
        EXPECT(errno == ENOMEM);
        check_mark(o, o->size);
        return;
    }
    o->start = p;
    check_mark(o, size);
    note_new(t, o, p, size);
}

/* Addresses that lie in an object, but do not begin it. */
static void free_badly(struct thread_of_fuzz *t, const struct owned *o)
{
    size_t into = 1 + take_byte(t);
    if (into < o->size) {
        fuzzed_free(o->start + into);
        EXPECT(fuzzed_realloc(o->start + into, into) == NULL);
        EXPECT(fuzzed_malloc_usable_size(o->start + into) == 0);
    }
    fuzzed_free(threads); /* not ours */
    check_mark(o, o->size);
}

/* Exchanges an object, or none, for one that another thread has left, or none. */
static void exchange(struct owned *o, size_t place)
{
    pthread_mutex_lock(&shared_lock);
    struct owned other = shared[place];
    shared[place] = *o;
    pthread_mutex_unlock(&shared_lock);
    *o = other;
}

/* --- threads -------------------------------------------------------------------------- */

static void wait_for(sem_t *event)
{
    while (sem_wait(event) != 0)
        EXPECT(errno == EINTR);
}

/* Trims once in an input: to bring pages back takes longer than all else. */
static void ask_about_all(struct thread_of_fuzz *t, bool trims)
{
    if (trims && !t->has_trimmed)
        (void)fuzzed_malloc_trim(0);
    else
        (void)fuzzed_mallinfo2();
    t->has_trimmed |= trims;
}

static void run(struct thread_of_fuzz *t)
{
    while (t->next < t->end) {
        uint8_t what = take_byte(t);
        struct owned *o = &t->object[take_byte(t) % NOBJECTS];
        if (what >= 250)
            ask_about_all(t, what & 1);
        else if (what >= 200)
            exchange(o, what % NSHARED);
        else if (o->start == NULL)
            take_object(t, o);
        else if (what >= 190)
            free_badly(t, o);
        else if (what >= 140)
            resize_object(t, o);
        else
            free_object(o, what & 1);
    }
}

/* Runs what each input has for this thread, until one says that the thread ends. */
static void *work(void *context)
{
    struct thread_of_fuzz *t = context;
    bool exits = false;
    while (!exits) {
        wait_for(&t->begins);
        run(t);
        exits = t->exits; /* that of the next input may be there at once */
        EXPECT(sem_post(&t->has_ended) == 0);
    }
    return NULL;
}

/* Has a thread run its part. It is a thread of an earlier input if one is left, since to make one
 * takes longer than most inputs. */
static void begin(struct thread_of_fuzz *t)
{
    if (!t->is_there) {
        EXPECT(sem_init(&t->begins, 0, 0) == 0 && sem_init(&t->has_ended, 0, 0) == 0);
        EXPECT(pthread_create(&t->id, NULL, work, t) == 0);
        t->is_there = true;
    }
    EXPECT(sem_post(&t->begins) == 0);
}

static void end(struct thread_of_fuzz *t)
{
    wait_for(&t->has_ended);
    if (!t->exits)
        return;
    EXPECT(pthread_join(t->id, NULL) == 0);
    t->is_there = false;
}

static void free_all(void)
{
    for (size_t i = 0; i < NTHREADS; i++)
        for (size_t k = 0; k < NOBJECTS; k++)
            if (threads[i].object[k].start != NULL)
                free_object(&threads[i].object[k], k & 1);
    for (size_t i = 0; i < NSHARED; i++)
        if (shared[i].start != NULL)
            free_object(&shared[i], i & 1);
}

/* The library reads LIBMEM when it opens its heap, before main. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    if (getenv("LIBMEM") == NULL) {
        setenv("LIBMEM", "region=16M,onerror=ignore", 1);
        execv("/proc/self/exe", *argv);
        abort();
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t first = size == 0 ? 0 : data[0];
    size_t n = 1 + first % NTHREADS, part = size == 0 ? 0 : (size - 1) / n;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *from = data + (size > 0) + i * part;
        threads[i].next = from;
        threads[i].end = from + part;
        threads[i].number = (unsigned)i;
        threads[i].exits = first >= 240;
        threads[i].has_trimmed = false;
    }
    for (size_t i = 1; i < n; i++)
        begin(&threads[i]);
    run(&threads[0]);
    for (size_t i = 1; i < n; i++)
        end(&threads[i]);
    free_all();
    /* Two frees in one span at the same time may have counted as one, until it is trimmed [SP7]. */
    if (fuzzed_mallinfo2().uordblks != 0)
        (void)fuzzed_malloc_trim(0);
    EXPECT(fuzzed_mallinfo2().uordblks == 0);
    EXPECT(check_heap(&shim_heap) == HEAP_OK);
    return 0;
}

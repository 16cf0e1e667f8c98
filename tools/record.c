/* SPDX-License-Identifier: MIT
 *
 * record.c - a malloc to be preloaded, which records the calls of a program in a file and
 * lets glibc's malloc do the work. trace.h describes the file.
 *
 *     LIBMEM_RECORD=/tmp/trace LD_PRELOAD=build/libmem-record.so gcc -c hello.c
 *     ls /tmp/trace.*                /tmp/trace.gcc.712  /tmp/trace.cc1.713  ...
 *     build/bench/work sizes /tmp/trace.cc1.713
 *
 * Each process writes a file of its own, with the program's name and the process id in the
 * file's name. A child of fork records nothing until it executes another program. Objects
 * that were allocated before the constructor of this library ran are not known, and their
 * frees are not recorded. Calls of valloc and pvalloc are not recorded.
 *
 *     R1  Nothing here allocates: state, buffer and table are one mapping.
 *     R2  The events of one address are recorded in the order of the objects that lived
 *         there. A free is recorded before the object is freed, an allocation after the
 *         object is allocated, and a realloc under the lock that is held meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trace.h"

/* The functions of glibc, under names that a preloaded malloc does not replace. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *ptr, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *ptr);

#define EXPORT __attribute__((visibility("default")))

enum {
    BUFFER_BYTES = 1 << 16,
    NPLACES = 1 << 24, /* places of the table: a power of two */
    MOST_LIVE = NPLACES / 4 * 3,
    HIGH_DESCRIPTOR = 500 /* above the descriptors that programs close or reuse */
};

/* An entry of a hash table with open addressing and linear probing. A place is free if its
 * address is 0. */
struct place {
    uintptr_t address;
    uint64_t number;
};

/* The kernel fills it with zeros in a child of fork (MADV_WIPEONFORK). The child then finds
 * the lock free and `recording` false. */
struct recorder {
    pthread_mutex_t lock; /* guards everything below */
    bool recording;
    int descriptor;
    uint64_t nobjects;
    uint64_t nthreads;
    uint64_t thread; /* the thread that made the last call in the file */
    size_t nlive;
    size_t nbuffered;
    unsigned char buffer[BUFFER_BYTES];
    struct place places[NPLACES];
};

static struct recorder *recorder;

/* The number of the calling thread plus 1, or 0 if it has made no call that was recorded. */
static _Thread_local uint64_t thread_plus_1 __attribute__((tls_model("initial-exec")));

/* --- the file ---------------------------------------------------------------------- */

static void flush(struct recorder *r)
{
    int saved_errno = errno;

    for (size_t done = 0; done < r->nbuffered;) {
        ssize_t n = write(r->descriptor, r->buffer + done, r->nbuffered - done);
        if (n < 0 && errno != EINTR) {
            r->recording = false; /* the disk is full: the file is a valid, shorter trace */
            break;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    r->nbuffered = 0;
    errno = saved_errno;
}

static void put_number(struct recorder *r, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        r->buffer[r->nbuffered++] = (unsigned char)(number | 0x80);
    r->buffer[r->nbuffered++] = (unsigned char)number;
}

static void put_event(struct recorder *r, enum trace_event event, uint64_t first)
{
    if (r->nbuffered + TRACE_MOST_BYTES > BUFFER_BYTES)
        flush(r);
    put_number(r, first << TRACE_EVENT_BITS | event);
}

/* Puts an event of the calling thread. */
static void put(struct recorder *r, enum trace_event event, uint64_t first)
{
    if (thread_plus_1 == 0)
        thread_plus_1 = ++r->nthreads;
    if (r->thread != thread_plus_1 - 1) {
        r->thread = thread_plus_1 - 1;
        put_event(r, TRACE_THREAD, r->thread);
    }
    put_event(r, event, first);
}

/* --- addresses and their numbers ------------------------------------------------------ */

static size_t place_of(uintptr_t address)
{
    return (size_t)((address >> 4) * 0x9e3779b97f4a7c15u >> 40) & (NPLACES - 1);
}

/* Returns the place that has the address, or the free place where it belongs. */
static struct place *find(struct recorder *r, const void *ptr)
{
    size_t i = place_of((uintptr_t)ptr);
    while (r->places[i].address != 0 && r->places[i].address != (uintptr_t)ptr)
        i = (i + 1) & (NPLACES - 1);
    return &r->places[i];
}

static void note(struct recorder *r, const void *ptr, uint64_t number)
{
    *find(r, ptr) = (struct place){(uintptr_t)ptr, number};
    if (++r->nlive == MOST_LIVE)
        r->recording = false;
}

/* Removes an entry. Entries behind it move up into the hole, since a search would end there
 * (Knuth, The Art of Computer Programming vol. 3, 6.4, algorithm R). */
static void forget(struct recorder *r, struct place *place)
{
    size_t hole = (size_t)(place - r->places), i = hole;

    r->nlive--;
    for (;;) {
        i = (i + 1) & (NPLACES - 1);
        if (r->places[i].address == 0)
            break;
        size_t home = place_of(r->places[i].address);
        if (((i - home) & (NPLACES - 1)) < ((i - hole) & (NPLACES - 1)))
            continue; /* the search for this entry begins behind the hole */
        r->places[hole] = r->places[i];
        hole = i;
    }
    r->places[hole].address = 0;
}

static uint64_t age_of(const struct recorder *r, const struct place *place)
{
    return r->nobjects - 1 - place->number;
}

/* --- events --------------------------------------------------------------------------- */

/* Locks the recorder and returns it. Returns NULL, and locks nothing, if this process is not
 * recorded. */
static struct recorder *recorder_lock(void)
{
    if (recorder == NULL || !recorder->recording)
        return NULL;
    pthread_mutex_lock(&recorder->lock);
    if (recorder->recording)
        return recorder;
    pthread_mutex_unlock(&recorder->lock);
    return NULL;
}

/* Records an allocation after it was made. Returns ptr. */
static void *came(void *ptr, enum trace_event event, size_t nbytes, size_t alignment)
{
    struct recorder *r = ptr != NULL ? recorder_lock() : NULL;

    if (r == NULL)
        return ptr;
    put(r, event, nbytes);
    if (event == TRACE_ALIGNED)
        put_number(r, (uint64_t)__builtin_ctzl(alignment));
    note(r, ptr, r->nobjects++);
    pthread_mutex_unlock(&r->lock);
    return ptr;
}

/* Records a free before it is done. */
static void goes(const void *ptr)
{
    struct recorder *r = ptr != NULL ? recorder_lock() : NULL;

    if (r == NULL)
        return;
    struct place *place = find(r, ptr);
    if (place->address != 0) {
        put(r, TRACE_FREE, age_of(r, place));
        forget(r, place);
    }
    pthread_mutex_unlock(&r->lock);
}

/* Does a realloc and records it. The object keeps its number when it moves. An object that is
 * not known is recorded as a new one. */
static void *moves(struct recorder *r, void *ptr, size_t nbytes)
{
    struct place *place = find(r, ptr);
    bool is_known = place->address != 0;
    uint64_t number = place->number;
    void *moved = __libc_realloc(ptr, nbytes);

    if (moved == NULL)
        return NULL;
    if (is_known) {
        put(r, TRACE_REALLOC, r->nobjects - 1 - number);
        put_number(r, nbytes);
        forget(r, place);
    } else {
        put(r, TRACE_MALLOC, nbytes);
        number = r->nobjects++;
    }
    note(r, moved, number);
    return moved;
}

/* --- malloc and its relatives ------------------------------------------------------------ */

EXPORT void *malloc(size_t size)
{
    return came(__libc_malloc(size), TRACE_MALLOC, size, 0);
}

EXPORT void *calloc(size_t n, size_t size)
{
    return came(__libc_calloc(n, size), TRACE_CALLOC, n * size, 0);
}

EXPORT void free(void *ptr)
{
    goes(ptr);
    __libc_free(ptr);
}

EXPORT void *realloc(void *ptr, size_t size)
{
    if (ptr == NULL)
        return malloc(size);
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    struct recorder *r = recorder_lock();
    if (r == NULL)
        return __libc_realloc(ptr, size);
    void *moved = moves(r, ptr, size);
    pthread_mutex_unlock(&r->lock);
    return moved;
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    return came(__libc_memalign(alignment, size), TRACE_ALIGNED, size, alignment);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0)
        return EINVAL;
    void *ptr = memalign(alignment, size);
    if (ptr == NULL)
        return ENOMEM;
    *out = ptr;
    return 0;
}

/* --- beginning and end --------------------------------------------------------------------- */

static int open_file(const char *prefix)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s.%s.%d", prefix, program_invocation_short_name, (int)getpid());
    int low = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int high = fcntl(low, F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);
    if (high < 0)
        return low;
    close(low);
    return high;
}

__attribute__((constructor)) static void begin(void)
{
    const char *prefix = getenv("LIBMEM_RECORD");

    if (prefix == NULL || *prefix == '\0')
        return;
    struct recorder *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r == MAP_FAILED || madvise(r, sizeof(*r), MADV_WIPEONFORK) != 0)
        return;
    r->descriptor = open_file(prefix);
    if (r->descriptor < 0)
        return;
    r->nbuffered = strlen(TRACE_MAGIC);
    memcpy(r->buffer, TRACE_MAGIC, r->nbuffered);
    r->recording = true;
    recorder = r;
}

/* Ends the recording when the program exits. Objects that later destructors free remain live
 * in the trace. */
__attribute__((destructor)) static void end(void)
{
    struct recorder *r = recorder_lock();

    if (r == NULL)
        return;
    flush(r);
    r->recording = false;
    pthread_mutex_unlock(&r->lock);
}

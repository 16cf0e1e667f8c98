/* SPDX-License-Identifier: MIT
 *
 * replay.c - repeats the calls that a real program made, from a trace (tools/trace.h).
 *
 * All calls are made in one thread, without pauses: what the program did between them is
 * missing, and so are its cache misses. Events are decoded before the clock runs. The number of
 * an object becomes the index of a table, which is as long as the greatest number of objects
 * that were live at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../tools/trace.h"
#include "work.h"

enum { SLOT_BITS = 24, MOST_SLOTS = 1 << SLOT_BITS, GONE = MOST_SLOTS };

struct call {
    uint32_t nbytes;
    uint32_t event : 3, log2_alignment : 5, slot : SLOT_BITS;
};
_Static_assert(sizeof(struct call) == 8, "calls compete with objects for the cache");

struct trace {
    struct call *calls;
    size_t ncalls;
    size_t nslots;
};

/* The part of the file that has not been read yet. */
struct reader {
    const unsigned char *next, *end;
};

static struct reader open_trace(const char *file)
{
    struct stat status;
    int descriptor = open(file, O_RDONLY | O_CLOEXEC);

    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        die("%s: %s", file, strerror(errno));
    size_t nbytes = (size_t)status.st_size, nmagic = strlen(TRACE_MAGIC);
    const unsigned char *bytes = mmap(NULL, nbytes + 1, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (bytes == MAP_FAILED || nbytes < nmagic || memcmp(bytes, TRACE_MAGIC, nmagic) != 0)
        die("%s is not a trace: tools/record.c writes them", file);
    close(descriptor);
    return (struct reader){bytes + nmagic, bytes + nbytes};
}

/* Returns false at the end of the file. A number that is cut off counts as the end, since the
   recorded program may have been killed. */
static bool read_number(struct reader *r, uint64_t *number)
{
    *number = 0;
    for (unsigned shift = 0; r->next < r->end && shift < 64; shift += 7) {
        unsigned char byte = *r->next++;
        *number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* Reads an event: `first` is its size or age; `second` is its second number, or 0 if it has
   none. */
static bool read_event(struct reader *r, enum trace_event *event, uint64_t *first, uint64_t *second)
{
    if (!read_number(r, first))
        return false;
    *event = *first & ((1u << TRACE_EVENT_BITS) - 1);
    *first >>= TRACE_EVENT_BITS;
    *second = 0;
    return (*event != TRACE_ALIGNED && *event != TRACE_REALLOC) || read_number(r, second);
}

/* --- from numbers of objects to indexes of the table ------------------------------ */

/* Exists only while a trace is decoded. */
struct decoder {
    uint32_t *slot_of;    /* by the number of the object; GONE when the object was freed */
    uint32_t *free_slots; /* a stack */
    size_t nobjects, nslots, nfree;
};

static void *temporary(size_t nbytes)
{
    void *memory = mmap(NULL, nbytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        die("no memory for a table");
    return memory;
}

static uint32_t slot_take(struct decoder *d)
{
    uint32_t slot = d->nfree > 0 ? d->free_slots[--d->nfree] : (uint32_t)d->nslots++;

    if (d->nslots > MOST_SLOTS)
        die("more than %d objects are live at a time", MOST_SLOTS);
    d->slot_of[d->nobjects++] = slot;
    return slot;
}

static uint32_t slot_of(struct decoder *d, uint64_t age, bool is_last)
{
    if (age >= d->nobjects)
        die("the trace is damaged: it uses an object before its allocation");
    uint32_t *entry = &d->slot_of[d->nobjects - 1 - age], slot = *entry;
    if (slot == GONE)
        die("the trace is damaged: it uses an object after its free");
    if (is_last) {
        d->free_slots[d->nfree++] = slot;
        *entry = GONE;
    }
    return slot;
}

static struct call decode(struct decoder *d, enum trace_event event, uint64_t first,
                          uint64_t second)
{
    struct call call = {.event = event & 7};
    bool has_age = event == TRACE_FREE || event == TRACE_REALLOC;
    uint64_t nbytes = has_age ? second : first;

    if (nbytes > UINT32_MAX || event > TRACE_REALLOC)
        die("the trace is damaged, or has an object of 4 GiB or more");
    call.nbytes = (uint32_t)nbytes;
    call.slot =
        (has_age ? slot_of(d, first, event == TRACE_FREE) : slot_take(d)) & (MOST_SLOTS - 1);
    if (event == TRACE_ALIGNED)
        call.log2_alignment = second & 31;
    return call;
}

static struct trace load(const char *file)
{
    struct reader r = open_trace(file);
    size_t most = (size_t)(r.end - r.next);
    struct decoder d = {temporary(4 * most + 1), temporary(4 * most + 1), 0, 0, 0};
    struct call *calls = temporary(most * sizeof(*calls) + 1);
    struct trace trace = {0};
    enum trace_event event;
    uint64_t first, second;

    while (read_event(&r, &event, &first, &second))
        calls[trace.ncalls++] = decode(&d, event, first, second);
    if (trace.ncalls == 0)
        die("%s has no calls", file);
    trace.nslots = d.nslots;
    trace.calls = table_new(trace.ncalls * sizeof(*calls));
    memcpy(trace.calls, calls, trace.ncalls * sizeof(*calls));
    munmap(calls, most * sizeof(*calls) + 1);
    munmap(d.slot_of, 4 * most + 1);
    munmap(d.free_slots, 4 * most + 1);
    peak_forget();
    return trace;
}

/* --- the workload ---------------------------------------------------------------- */

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

struct object {
    unsigned char *bytes;
    size_t nbytes;
};

static void *aligned(const struct call *call)
{
    void *memory;
    return posix_memalign(&memory, (size_t)1 << call->log2_alignment, call->nbytes) == 0 ? memory
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
        object->bytes = must(realloc(object->bytes, call->nbytes));
        sum = look_short(object->bytes,
                         object->nbytes < call->nbytes ? object->nbytes : call->nbytes);
    } else if (call->event == TRACE_MALLOC) {
        object->bytes = must(malloc(call->nbytes));
    } else if (call->event == TRACE_CALLOC) {
        object->bytes = must(calloc(1, call->nbytes));
        sum = look_short(object->bytes, call->nbytes);
    } else {
        object->bytes = must(aligned(call));
    }
    object->nbytes = call->nbytes;
    mark_short(object->bytes, call->nbytes, word);
    return sum;
}

static uint64_t end_pass(struct object *objects, size_t nslots)
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

/* Repeats the trace until the number of operations is reached. Objects that are live at the
   end of a pass are freed before the next. An operation is a call. */
void run_replay(struct job *job)
{
    struct trace trace = load(job->file);
    struct object *objects = table_new((trace.nslots + 1) * sizeof(*objects));
    uint64_t ndone = 0, sum = 0;

    clock_start(job);
    do {
        for (size_t i = 0; i < trace.ncalls; i++)
            sum += make_call(&trace.calls[i], &objects[trace.calls[i].slot], i);
        sum += end_pass(objects, trace.nslots);
        ndone += trace.ncalls;
    } while (ndone < job->noperations);
    clock_stop(job);
    job->noperations = ndone;
    job->sum = sum;
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

void print_sizes(const char *file)
{
    struct trace trace = load(file);
    uint64_t counts[TRACE_REALLOC + 1] = {0}, classes[NCLASSES] = {0}, nallocated = 0;

    for (size_t i = 0; i < trace.ncalls; i++) {
        counts[trace.calls[i].event]++;
        if (trace.calls[i].event != TRACE_FREE)
            classes[class_of(trace.calls[i].nbytes)]++, nallocated++;
    }
    print_events(counts, trace.nslots);
    printf("%23s %10s %7s\n", "bytes", "calls", "share");
    for (unsigned k = 0; k < NCLASSES; k++) {
        unsigned long long least = k == 0 ? 0 : 1ull << (k - 1), most = k == 0 ? 0 : 2 * least - 1;
        if (classes[k] > 0)
            printf("%10llu .. %9llu %10llu %6.1f%%\n", least, most, (unsigned long long)classes[k],
                   100 * (double)classes[k] / (double)nallocated);
    }
}

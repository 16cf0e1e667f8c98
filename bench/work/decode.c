/* SPDX-License-Identifier: MIT
 *
 * decode.c - reads a trace and gives each object an index, each thread its calls. The
 * invariants are in decode.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decode.h"
#include "work.h"

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

/* --- from the file to steps --------------------------------------------------------- */

/* A call that does not have the index of its object yet. */
struct step {
    uint32_t object, nbytes;
    uint32_t taken_from, given_to; /* numbers of boxes plus 1; 0 for none */
    uint8_t event, log2_alignment, part;
};

struct known {
    uint32_t last_step; /* the last step that used the object */
    uint32_t slot;
    bool is_gone;
};

/* Exists only while a trace is decoded. */
struct decoder {
    struct step *steps;
    struct known *objects; /* by their numbers */
    size_t nsteps, nobjects, nlive;
    struct call *calls[MOST_THREADS];
    uint32_t *free_slots[MOST_THREADS]; /* stacks */
    size_t nfree[MOST_THREADS];
    size_t most; /* the events, and the objects, cannot be more */
};

static bool allocates(unsigned event)
{
    return event != TRACE_FREE && event != TRACE_REALLOC;
}

static uint32_t object_with_age(const struct decoder *d, uint64_t age)
{
    if (age >= d->nobjects)
        die("the trace is damaged: it uses an object before its allocation");
    uint32_t object = (uint32_t)(d->nobjects - 1 - age);
    if (d->objects[object].is_gone)
        die("the trace is damaged: it uses an object after its free");
    return object;
}

/* Plans a box if the last step with this object was in another thread. */
static void plan_box(struct decoder *d, struct trace *trace, struct step *step)
{
    struct step *last = &d->steps[d->objects[step->object].last_step];

    if (last->part != step->part)
        last->given_to = step->taken_from = (uint32_t)++trace->nboxes;
}

static void add_step(struct decoder *d, struct trace *trace, struct step step, uint64_t age)
{
    if (allocates(step.event)) {
        step.object = (uint32_t)d->nobjects++;
        d->nlive++;
    } else {
        step.object = object_with_age(d, age);
        plan_box(d, trace, &step);
    }
    struct known *known = &d->objects[step.object];
    known->last_step = (uint32_t)d->nsteps;
    if (step.event == TRACE_FREE) {
        known->is_gone = true;
        d->nlive--;
    }
    if (d->nlive > trace->most_live)
        trace->most_live = d->nlive;
    d->steps[d->nsteps++] = step;
}

static void read_steps(struct decoder *d, struct trace *trace, struct reader *r)
{
    enum trace_event event;
    uint64_t first, second, thread = 0;

    trace->nthreads = 1;
    while (read_event(r, &event, &first, &second)) {
        if (event == TRACE_THREAD && first <= trace->nthreads) {
            thread = first;
            trace->nthreads += thread == trace->nthreads;
            continue;
        }
        uint64_t nbytes = allocates(event) ? first : second;
        if (nbytes > UINT32_MAX || event > TRACE_REALLOC)
            die("the trace is damaged, or has an object of 4 GiB or more");
        struct step step = {.nbytes = (uint32_t)nbytes,
                            .event = (uint8_t)event,
                            .log2_alignment = event == TRACE_ALIGNED ? second & 31 : 0,
                            .part = (uint8_t)(thread % MOST_THREADS)};
        add_step(d, trace, step, first);
    }
    trace->ncalls = d->nsteps;
    trace->nparts = trace->nthreads < MOST_THREADS ? trace->nthreads : MOST_THREADS;
}

/* --- from steps to calls ----------------------------------------------------------------- */

static uint32_t slot_take(struct decoder *d, struct trace *trace, unsigned part)
{
    size_t *nslots = &trace->parts[part].nslots;
    uint32_t slot =
        d->nfree[part] > 0 ? d->free_slots[part][--d->nfree[part]] : (uint32_t)(*nslots)++;

    if (*nslots > MOST_SLOTS)
        die("more than %d objects are live at a time", MOST_SLOTS);
    return slot;
}

static void add_call(struct decoder *d, struct trace *trace, unsigned part, struct call call)
{
    d->calls[part][trace->parts[part].ncalls++] = call;
}

/* Adds a TAKE or a GIVE, if there is a box for it. */
static void add_move(struct decoder *d, struct trace *trace, unsigned part, unsigned event,
                     uint32_t box_plus_1, uint32_t slot)
{
    if (box_plus_1 != 0)
        add_call(d, trace, part,
                 (struct call){.number = box_plus_1 - 1,
                               .event = event & 7,
                               .slot = slot & (MOST_SLOTS - 1)});
}

static void add_step_calls(struct decoder *d, struct trace *trace, const struct step *step)
{
    struct known *known = &d->objects[step->object];
    unsigned part = step->part, event = step->event, log2_alignment = step->log2_alignment;

    if (allocates(event) || step->taken_from != 0)
        known->slot = slot_take(d, trace, part);
    uint32_t slot = known->slot;
    add_move(d, trace, part, TAKE, step->taken_from, slot);
    add_call(d, trace, part,
             (struct call){.number = step->nbytes,
                           .event = event & 7,
                           .log2_alignment = log2_alignment & 31,
                           .slot = slot & (MOST_SLOTS - 1)});
    add_move(d, trace, part, GIVE, step->given_to, slot);
    if (event == TRACE_FREE || step->given_to != 0)
        d->free_slots[part][d->nfree[part]++] = slot;
}

static void add_all_calls(struct decoder *d, struct trace *trace)
{
    for (size_t i = 0; i < d->nsteps; i++)
        add_step_calls(d, trace, &d->steps[i]);
}

/* --- memory while a trace is decoded ------------------------------------------------------ */

static void *temporary(size_t n, size_t nbytes)
{
    void *memory = mmap(NULL, n * nbytes + 1, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        die("no memory for a table");
    return memory;
}

static void temporary_end(void *memory, size_t n, size_t nbytes)
{
    munmap(memory, n * nbytes + 1);
}

enum { MOST_CALLS = 3 }; /* for a step: TAKE, the call itself, and GIVE */

static struct decoder decoder_new(size_t most)
{
    struct decoder d = {.most = most};

    d.steps = temporary(most, sizeof(*d.steps));
    d.objects = temporary(most, sizeof(*d.objects));
    for (unsigned part = 0; part < MOST_THREADS; part++) {
        d.calls[part] = temporary(most, MOST_CALLS * sizeof(struct call));
        d.free_slots[part] = temporary(most, sizeof(uint32_t));
    }
    return d;
}

static void decoder_end(struct decoder *d)
{
    temporary_end(d->steps, d->most, sizeof(*d->steps));
    temporary_end(d->objects, d->most, sizeof(*d->objects));
    for (unsigned part = 0; part < MOST_THREADS; part++) {
        temporary_end(d->calls[part], d->most, MOST_CALLS * sizeof(struct call));
        temporary_end(d->free_slots[part], d->most, sizeof(uint32_t));
    }
}

struct trace trace_load(const char *file)
{
    struct reader r = open_trace(file);
    size_t most = (size_t)(r.end - r.next);
    if (most > UINT32_MAX / MOST_CALLS)
        die("%s is too long", file);
    struct decoder d = decoder_new(most);
    struct trace trace = {0};

    read_steps(&d, &trace, &r);
    if (trace.ncalls == 0)
        die("%s has no calls", file);
    add_all_calls(&d, &trace);
    for (unsigned i = 0; i < trace.nparts; i++) {
        struct part *part = &trace.parts[i];
        part->calls = table_new((part->ncalls + 1) * sizeof(*part->calls));
        memcpy(part->calls, d.calls[i], part->ncalls * sizeof(*part->calls));
    }
    decoder_end(&d);
    peak_forget();
    return trace;
}

/* SPDX-License-Identifier: MIT
 *
 * heaps.c - finds the heaps of a target, copies their metadata, and opens the copies.
 * Invariants: heaps.h.
 *
 * In this order: memory for copies, a heap's numbers, its records, its spans, heaps of one's own,
 * all heaps of a target, and what is asked of a view.
 */
#include "heaps.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/describe.h"
#include "command.h"
#include "heaps/header.h"
#include "core/lookup.h"
#include "heaps/parts.h"
#include "heaps/registry.h"
#include "heaps/stored.h"
#include "images.h"
#include "slots/verify.h"
#include "source.h"

/* One copy of all heaps of a target. */
struct copier {
    struct target *t;
    struct heaps *hs;
    const struct heaps *before; /* the copy before this one, whose memory is used again */
    uint64_t room;              /* bytes that may still be copied [HV3] */
};

static const char is_missing[] = "its metadata cannot be read";
static const char no_sense[] = "its numbers make no sense: they were overwritten, or the file is "
                               "damaged";

/* --- memory for copies --------------------------------------------------------------- */

/* Takes the memory of the view that the same heap had in the copy before, whose pages are there
 * already. What that copy wrote is overwritten, or not looked at. */
static bool reserve_again(struct copier *c, struct view *v)
{
    size_t i = (size_t)(v - c->hs->views);
    struct view *was = c->before != NULL && i < c->before->n ? &c->before->views[i] : NULL;
    if (was == NULL || was->memory == NULL || was->base != v->base || was->nbytes != v->nbytes)
        return false;
    v->memory = was->memory;
    v->reserved = was->reserved;
    v->delta = was->delta;
    was->memory = NULL;
    return true;
}

/* Reserves memory for the region, which reads as zero until something is copied to it, and lies as
 * far into a slice as it does in the target [HV2]. */
static bool reserve(struct copier *c, struct view *v)
{
    const size_t slice = SLICE_BYTES;
    if (reserve_again(c, v))
        return true;
    v->reserved = v->nbytes + 2 * slice;
    v->memory = mmap(NULL, v->reserved, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (v->memory == MAP_FAILED) {
        v->memory = NULL;
        v->fault = "the tool gets no address space to copy it to (ulimit -v)";
        return false;
    }
    uintptr_t at = ceil_div((uintptr_t)v->memory, slice) * slice + v->base % slice;
    v->delta = (ptrdiff_t)(at - v->base);
    return true;
}

/* Returns where an address of the target lies in the copy. */
static unsigned char *copy_at(const struct view *v, uint64_t address)
{
    return (unsigned char *)(uintptr_t)(address + (uint64_t)v->delta);
}

/* Copies [address, + nbytes) of the target to where it belongs. */
static bool copy(struct copier *c, struct view *v, uint64_t address, size_t nbytes)
{
    if (nbytes > c->room || !target_read(c->t, address, copy_at(v, address), nbytes)) {
        v->fault = is_missing;
        return false;
    }
    c->room -= nbytes;
    return true;
}

/* --- a heap's numbers ----------------------------------------------------------------- */

static bool region_is_sane(uint64_t base, uint64_t nbytes)
{
    const uint64_t end_of_addresses = UINT64_C(1) << 56;
    return base % GRANULE_BYTES == 0 && base >= SLICE_BYTES && nbytes > 0 &&
           nbytes % GRANULE_BYTES == 0 && nbytes <= REGION_BYTES_MAX &&
           base < end_of_addresses - nbytes;
}

/* Takes the numbers of a ledger, and says itself where the records are. */
static bool take_ledger(struct view *v, const struct ledger *from)
{
    struct ledger *l = &v->heap.chunks.ledger;
    *l = *from;
    l->nbytes = v->nbytes;
    l->b.end = v->heap.chunks.region.base + v->nbytes;
    l->b.room = v->nbytes;
    l->guard.wanted_low = 0;
    if (l->guard.high != 0 && (size_t)l->guard.high * GRANULE_BYTES < v->nbytes)
        l->b.room = v->nbytes - (size_t)l->guard.high * GRANULE_BYTES;
    if (from->nbytes != l->nbytes || from->b.room != l->b.room || !ledger_is_sane(l))
        v->fault = no_sense;
    return v->fault == NULL;
}

/* In a view it only says that there is a free list: that is not in the view, but see view->list. */
static MemNodePtr some_list;

/* Takes the numbers of the spans. */
static bool take_spans(struct view *v, const struct spans *from)
{
    struct spans *s = &v->heap.spans;
    *s = *from;
    s->chunks = &v->heap.chunks;
    s->threads.first = NULL;
    s->keeps_pagemap = target_truth(&from->keeps_pagemap);
    s->may_have_raced = 1; /* a thread may have stopped in the middle of a free */
    if (s->object_max == 0 || s->nheld == 0) {
        s->nheld = s->nclear = s->nempty = 0;
        return true;
    }
    bool is_sane = s->slice_shift >= SMALL_SLICE_SHIFT_MIN && s->slice_shift <= SLICE_SHIFT &&
                   s->object_max <= SPAN_OBJECT_MAX;
    size_t nslices = is_sane ? pagemap_nslices(s) : 0;
    size_t pagemap = (size_t)s->pagemap * GRANULE_BYTES;
    if (!is_sane || s->nclear > nslices || s->nheld > nslices || s->nempty > s->nheld ||
        s->skipped > 1 || (v->base + pagemap) % sizeof(struct span) != 0 ||
        pagemap + QUEUES_BYTES + nslices * sizeof(struct span) > v->nbytes)
        v->fault = no_sense;
    return v->fault == NULL;
}

/* Opens a view on a struct heap that was read from the target. Its pointers are not followed: all
 * are made anew. */
static bool take_heap(struct view *v, const struct heap *from)
{
    v->heap = (struct heap){.has_tcaches = target_truth(&from->has_tcaches),
                            .is_swept = target_truth(&from->is_swept)};
    v->heap.chunks.region = (struct region){.base = copy_at(v, v->base), .nbytes = v->nbytes};
    v->heap.chunks.list = (struct freelist){&v->heap.chunks.region, &v->heap.chunks.ledger,
                                            from->chunks.list.head == NULL ? NULL : &some_list};
    v->list = (uintptr_t)from->chunks.list.head;
    v->is_changing |= from->chunks.ledger.changes % 2 != 0 || from->spans.changes % 2 != 0;
    if (!take_ledger(v, &from->chunks.ledger) || !take_spans(v, &from->spans))
        return false;
    v->heap.chunks.ledger.changes = v->heap.spans.changes = 0; /* nothing changes in the copy */
    return true;
}

/* --- records ------------------------------------------------------------------------ */

static bool copy_records(struct copier *c, struct view *v)
{
    size_t nbytes = ledger_nbytes(&v->heap.chunks.ledger);
    return copy(c, v, v->base + v->nbytes - nbytes, nbytes);
}

/* --- spans -------------------------------------------------------------------------- */

/* Returns whether the entry of a slice is that of the first slice of a span whose numbers agree. */
static bool span_is_sane(const struct spans *s, uint32_t slice, uint32_t nslices)
{
    const struct span *span = pagemap_span(s, slice);
    if (span->back != 0 || span->sizeclass >= NCLASSES || span->purpose >= NPURPOSES ||
        span->slot_bytes != sizeclass_bytes(span->sizeclass) || !span_has_length(span))
        return false;
    uint32_t n = span_nslices(span);
    uintptr_t start = pagemap_address(s, slice), base = (uintptr_t)spans_region(s)->base;
    size_t nbytes = n * slice_bytes(s);
    return n - 1 <= nslices - slice && start >= base &&
           start - base <= spans_region(s)->nbytes - nbytes && nbytes <= spans_region(s)->nbytes &&
           span->nslots == span_nslots(s, span) && span->nslots > 0 &&
           span->reciprocal == slot_reciprocal(span->slot_bytes);
}

/* Returns whether the entry of a slice that begins no span leads back to the span that it is in, if
 * any. */
static bool entry_is_sane(const struct spans *s, uint32_t slice)
{
    uint32_t back = pagemap_span(s, slice)->back;
    if (back == 0)
        return true;
    if (back >= WIDE_SLICES_MAX || back >= slice)
        return false;
    const struct span *first = pagemap_span(s, slice - back);
    return first->slot_bytes != 0 && first->back == 0 && back < span_nslices(first);
}

/* Returns the span that an offset into the region lies in, if all its numbers agree; else NULL. */
static const struct span *span_of(const struct spans *s, size_t offset, uint32_t nslices)
{
    uint32_t slice = pagemap_slice(s, (uintptr_t)spans_region(s)->base + offset);
    if (slice > nslices)
        return NULL;
    const struct span *span = pagemap_span(s, slice - pagemap_span(s, slice)->back);
    return span->slot_bytes != 0 ? span : NULL;
}

/* Returns whether the states of a span lie in metadata spans, of which all was copied: the entries
 * hold addresses of the target. */
static bool states_are_sane(const struct view *v, const struct span *span, uint32_t nslices)
{
    const struct spans *s = &v->heap.spans;
    size_t nbytes = state_array_bytes(span->nslots, span->slot_bytes);
    size_t offset = (size_t)((uintptr_t)span->states - v->base);
    if (offset >= v->nbytes || nbytes > v->nbytes - offset)
        return false;
    const struct span *first = span_of(s, offset, nslices);
    return first != NULL && first->purpose == FOR_METADATA &&
           first == span_of(s, offset + nbytes - 1, nslices);
}

/* Returns the first entry from `slice` on that is not empty, or is near one. In a large heap most
 * of the page map was never written to. */
static uint32_t skip_empty(const struct spans *s, uint32_t slice, uint32_t nslices)
{
    enum { AT_ONCE = 64 };
    while (slice + AT_ONCE <= nslices &&
           is_zero(pagemap_span(s, slice), AT_ONCE * sizeof(struct span)))
        slice += AT_ONCE;
    return slice;
}

/* Goes through the entries up to nslices: what is in them has to agree, and metadata spans are
 * copied. The state arrays together have to fit into those, so that no small file stands for many
 * slots [HV3]. */
static bool copy_spans(struct copier *c, struct view *v, uint32_t nslices)
{
    const struct spans *s = &v->heap.spans;
    size_t nstates = 0, nmetadata = 0;
    bool is_sane = true;
    for (uint32_t i = 1; i <= nslices && is_sane; i++) {
        i = skip_empty(s, i, nslices);
        is_sane =
            pagemap_span(s, i)->slot_bytes != 0 ? span_is_sane(s, i, nslices) : entry_is_sane(s, i);
    }
    for (uint32_t slice = 1; slice <= nslices && is_sane; slice++) {
        slice = skip_empty(s, slice, nslices);
        const struct span *span = pagemap_span(s, slice);
        if (span->slot_bytes == 0)
            continue;
        is_sane = states_are_sane(v, span, nslices);
        nstates += state_array_bytes(span->nslots, span->slot_bytes);
        if (!is_sane || span->purpose != FOR_METADATA)
            continue;
        size_t nbytes = span_nslices(span) * slice_bytes(s);
        nmetadata += nbytes;
        if (!copy(c, v, pagemap_address(s, slice) - (uint64_t)v->delta, nbytes))
            return false;
    }
    if (!is_sane || nstates > nmetadata)
        v->fault = no_sense;
    return v->fault == NULL;
}

/* Copies the page map, as far as slices are used, and what it leads to; then the addresses in it
 * are made those of the copy. */
static bool copy_slots(struct copier *c, struct view *v)
{
    struct spans *s = &v->heap.spans;
    if (s->nheld == 0)
        return true;
    uint32_t nslices = least(pagemap_nslices_used(s), s->nclear);
    uint64_t pagemap = v->base + (uint64_t)s->pagemap * GRANULE_BYTES;
    if (!copy(c, v, pagemap, QUEUES_BYTES + nslices * sizeof(struct span)) ||
        !copy_spans(c, v, nslices))
        return false;
    spans_move(s, v->delta); /* copy_spans has checked that the state arrays stay inside */
    return true;
}

/* --- views ----------------------------------------------------------------------------- */

static struct view *add_view(struct copier *c, enum view_kind kind, uint64_t address)
{
    struct heaps *hs = c->hs;
    hs->views = grown(hs->views, hs->n, sizeof *hs->views);
    struct view *v = &hs->views[hs->n++];
    *v = (struct view){.kind = kind, .address = address};
    return v;
}

/* Copies all that a struct heap leads to. */
static void copy_heap(struct copier *c, struct view *v, const struct heap *from)
{
    v->base = (uintptr_t)from->chunks.region.base;
    v->nbytes = from->chunks.region.nbytes;
    if (!region_is_sane(v->base, v->nbytes)) {
        v->nbytes = 0;
        v->fault = no_sense;
        return;
    }
    if (reserve(c, v) && take_heap(v, from) && copy_records(c, v))
        (void)copy_slots(c, v);
}

/* malloc's heap, or Mem_Init's. One that is not open yet is none. */
static void copy_process_heap(struct copier *c, enum view_kind kind, uint64_t address)
{
    struct heap raw;
    bool is_there = target_read(c->t, address, &raw, sizeof raw);
    if (is_there && raw.chunks.region.base == NULL)
        return;
    struct view *v = add_view(c, kind, address);
    if (!is_there) {
        v->fault = is_missing;
        return;
    }
    v->is_busy = lock_is_taken(&raw.lock);
    v->has_counters = raw.counters != NULL &&
                      target_read(c->t, (uintptr_t)raw.counters, &v->counters, sizeof v->counters);
    copy_heap(c, v, &raw);
}

/* --- heaps of one's own ------------------------------------------------------------------ */

/* Reads a header, as far as it goes before the region. Returns NULL, with the fault, if there is no
 * heap or it is damaged; the caller frees it. */
static mem_heap *read_header(struct copier *c, uint64_t address, const char **fault)
{
    mem_heap head;
    *fault = is_missing;
    if (!target_read(c->t, address, &head, sizeof head))
        return NULL;
    size_t nbytes = head.region > sizeof head ? head.region : sizeof head;
    mem_heap *m = aligned_alloc(HEAP_ALIGN, ceil_div(nbytes, HEAP_ALIGN) * HEAP_ALIGN);
    if (m == NULL)
        err(UNKNOWN, "no memory");
    if (target_read(c->t, address, m, nbytes)) {
        /* A heap with guard pages cannot be attached to, but read. One that is detached is in no
         * registry, and its checksum covers more than was read. */
        bool is_here = header_is_here(m) && m->region == head.region;
        enum mem_result result = is_here ? header_examine(m, m->nbytes) : MEM_NO_HEAP;
        *fault = result == MEM_BAD_VERSION ? "it was made by another version of libmem" : no_sense;
        if (result == MEM_OK || result == MEM_BAD_OPTIONS) {
            *fault = NULL;
            return m;
        }
    }
    free(m);
    return NULL;
}

/* A heap without spans: its numbers are in the header, and say what a struct heap would. */
static void copy_stored(struct copier *c, struct view *v, const mem_heap *m)
{
    struct heap h;
    size_t before = header_bytes(m);
    v->base = v->address + before;
    v->nbytes = m->nbytes - before;
    if (!region_is_sane(v->base, v->nbytes)) {
        v->fault = no_sense;
        return;
    }
    stored_load(m, &h);
    h.chunks.region.base = (unsigned char *)(uintptr_t)v->base;
    if (reserve(c, v) && take_heap(v, &h))
        (void)copy_records(c, v);
}

/* One part of a heap with spans. The first has its struct heap in the header. */
static void copy_part(struct copier *c, struct view *v, const mem_heap *m)
{
    struct heap raw;
    const void *in_header = (const unsigned char *)m + m->state;
    uint64_t address = v->address + v->part * PART_BYTES;
    if (v->part == 0)
        memcpy(&raw, in_header, sizeof raw);
    else if (!target_read(c->t, address, &raw, sizeof raw)) {
        v->fault = is_missing;
        return;
    }
    uint64_t base = v->part == 0 ? address + header_bytes(m) : address + PART_HEAD;
    if ((uintptr_t)raw.chunks.region.base != base ||
        raw.chunks.region.nbytes > m->nbytes - v->part * PART_BYTES) {
        v->fault = no_sense;
        return;
    }
    copy_heap(c, v, &raw);
}

static void copy_own_heap(struct copier *c, uint64_t address)
{
    const char *fault = no_sense;
    mem_heap *m = address % HEAP_ALIGN == 0 ? read_header(c, address, &fault) : NULL;
    size_t nparts = m == NULL || !header_has_parts(m) ? 1 : header_nopen(m);
    if (m != NULL && (nparts == 0 || nparts > parts_count(m)))
        nparts = 1;
    for (size_t i = 0; i < nparts; i++) {
        struct view *v = add_view(c, VIEW_OWN, address);
        v->part = i;
        v->fault = fault;
        if (m == NULL)
            continue;
        v->is_changing = m->changes % 2 != 0;
        v->is_busy = header_has_lock(m) && lock_is_taken(header_lock(m));
        if (m->has_spans)
            copy_part(c, v, m);
        else
            copy_stored(c, v, m);
    }
    free(m);
}

/* All heaps of the table. Those without an owner are malloc's and Mem_Init's, which are found by
 * their own descriptions. */
static void copy_heaps_of_own(struct copier *c, uint64_t address)
{
    enum { EACH = 64 };
    struct table head;
    uint64_t table;
    struct heap_range range[EACH];
    if (!target_read(c->t, address, &table, sizeof table) ||
        !target_read(c->t, table, &head, sizeof head) || head.n > head.capacity)
        return;
    table += offsetof(struct table, range);
    c->hs->list = (struct extent){table, table + head.capacity * sizeof *range};
    for (uint32_t i = 0; i < head.n; i += EACH) {
        uint32_t n = least(head.n - i, EACH);
        if (!target_read(c->t, table + i * sizeof *range, range, n * sizeof *range))
            return;
        for (uint32_t k = 0; k < n; k++)
            if (range[k].owner != NULL)
                copy_own_heap(c, (uintptr_t)range[k].owner);
    }
}

/* Returns whether a thread was in the middle of a change of the table. */
static bool list_is_changing(struct copier *c, uint64_t address)
{
    uint32_t version;
    return target_read(c->t, address, &version, sizeof version) && version % 2 != 0;
}

/* --- all heaps of a target ------------------------------------------------------------- */

static void copy_described(struct copier *c, const struct described *d)
{
    if (d->type == DESCRIBED_MALLOC)
        copy_process_heap(c, VIEW_MALLOC, d->address);
    else if (d->type == DESCRIBED_CLASSIC)
        copy_process_heap(c, VIEW_CLASSIC, d->address);
    else if (d->type == DESCRIBED_REGISTRY)
        copy_heaps_of_own(c, d->address);
    else if (d->type == DESCRIBED_REGISTRY_VERSION)
        c->hs->is_list_changing |= list_is_changing(c, d->address);
}

/* Returns the layout that this tool understands of what a note describes; that of the note itself,
 * if it describes something else than heaps. */
static uint32_t known_layout(const struct described *d)
{
    switch (d->type) {
    case DESCRIBED_MALLOC:
    case DESCRIBED_CLASSIC:
        return (uint32_t)HEAP_LAYOUT;
    case DESCRIBED_REGISTRY:
    case DESCRIBED_REGISTRY_VERSION:
        return REGISTRY_LAYOUT;
    default:
        return d->layout;
    }
}

static bool is_of_this_version(const struct described *d)
{
    return d->layout == known_layout(d);
}

/* Of two regions that begin at one address, the outer one comes first. */
static int compare_views(const void *a, const void *b)
{
    const struct view *x = a, *y = b;
    if (x->base != y->base)
        return x->base < y->base ? -1 : 1;
    return x->nbytes > y->nbytes ? -1 : x->nbytes < y->nbytes;
}

/* Returns the first view, from one outwards, whose region an address is in; or NO_VIEW. */
static size_t view_around(const struct heaps *hs, size_t i, uint64_t address)
{
    while (i != NO_VIEW && address - hs->views[i].base >= hs->views[i].nbytes)
        i = hs->views[i].within;
    return i;
}

/* Finds what is described in the images, and copies each of these heaps, in place of the copy that
 * there is. Returns false, with no heap copied, if nothing is described, or something by another
 * version of libmem. */
static bool copy_all(struct target *t, struct heaps *hs)
{
    struct heaps before = *hs;
    struct copier c = {.t = t, .hs = hs, .before = &before, .room = target_bytes(t)};
    struct described *d;
    size_t n = images_described(t, &d), nknown = 0;
    *hs = (struct heaps){.ntries = before.ntries};
    while (nknown < n && is_of_this_version(&d[nknown]))
        nknown++;
    for (size_t i = 0; i < n && nknown == n; i++)
        copy_described(&c, &d[i]);
    heaps_close(&before);
    free(d);
    return n > 0 && nknown == n;
}

/* Sorts the views. The struct heap of a view moves with it, so that the pointers to its own fields
 * are set when all are in place. From here on nothing is written to the copies. */
static void settle(struct heaps *hs)
{
    sort_array(hs->views, hs->n, sizeof *hs->views, compare_views);
    for (size_t i = 0; i < hs->n; i++) {
        struct view *v = &hs->views[i];
        v->within = view_around(hs, i > 0 ? i - 1 : NO_VIEW, v->base);
        v->heap.chunks.list.region = &v->heap.chunks.region;
        v->heap.chunks.list.ledger = &v->heap.chunks.ledger;
        v->heap.spans.chunks = &v->heap.chunks;
        if (v->memory != NULL)
            mprotect(v->memory, v->reserved, PROT_READ);
    }
}

/* Returns whether a thread was at work in a heap: then another moment may be better. */
static bool is_any_busy(const struct heaps *hs)
{
    for (size_t i = 0; i < hs->n; i++)
        if (hs->views[i].is_changing || hs->views[i].is_busy)
            return true;
    return hs->is_list_changing;
}

/* Says that the program has a libmem of another version. */
static void explain_version(const struct target *t, const struct described *d)
{
    uint32_t known = known_layout(d);
    warnx("%s: its libmem is of another version (layout %" PRIu32 ".%" PRIu32 " in %s; this mem "
          "reads %" PRIu32 ".%" PRIu32 "): look at it with the mem of that version",
          target_name(t), d->layout >> 16, d->layout & 0xFFFF,
          d->file == NULL ? "the program" : d->file, known >> 16, known & 0xFFFF);
}

/* Says why copy_all has copied nothing. */
static void explain_none(struct target *t)
{
    struct described *d;
    size_t n = images_described(t, &d);
    const char *other = images_malloc(t);
    for (size_t i = 0; i < n; i++)
        if (!is_of_this_version(&d[i])) {
            explain_version(t, &d[i]);
            free(d);
            return;
        }
    free(d);
    warnx("%s: no libmem in this program%s%s%s. Start it by `mem run PROGRAM`, or link it with "
          "libmem, to look into its heap",
          target_name(t), other == NULL ? "" : ": its malloc is ", other == NULL ? "" : other,
          target_is_truncated(t) ? " (the core file was cut off)" : "");
}

/* Copies all heaps as they are now, while the target is stopped. Returns false, with the target
 * going on, after a message. A process may have executed another program since it was opened, so
 * that its heaps are found anew. */
static bool copy_now(struct heaps *hs, struct target *t)
{
    if (!target_stop(t))
        return false;
    if (target_keeps_reads(t))
        target_keep_reads(t); /* a snapshot has what is read from here on */
    bool ok = copy_all(t, hs), has_ended = target_has_ended(t);
    if (ok && !has_ended)
        return true;
    target_go_on(t);
    if (has_ended)
        warnx("%s: the process has ended", target_name(t));
    else
        explain_none(t);
    return false;
}

/* Each turn is one moment of the target. Between two of them it runs for a while, so that the call
 * that was in the way can end. */
static bool copy_one_moment(struct heaps *hs, struct target *t)
{
    enum { TRIES = 8 };
    for (hs->ntries = 1; copy_now(hs, t); hs->ntries++) {
        if (!target_is_process(t) || !is_any_busy(hs) || hs->ntries == TRIES) {
            settle(hs);
            return true;
        }
        target_go_on(t);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return false;
}

/* After the first copy the tool's own memory is there, so that the process is stopped only for the
 * next one. */
bool heaps_prepare(struct heaps *hs, struct target *t)
{
    *hs = (struct heaps){0};
    if (!target_is_process(t) || copy_all(t, hs))
        return true;
    explain_none(t);
    heaps_close(hs);
    return false;
}

bool heaps_copy(struct heaps *hs, struct target *t)
{
    bool ok = copy_one_moment(hs, t);
    if (ok && hs->n == 0) {
        warnx("%s: the program has libmem, but no heap: it has not allocated anything yet%s",
              target_name(t), target_is_truncated(t) ? ", or the core file was cut off" : "");
        target_go_on(t);
        ok = false;
    }
    if (!ok)
        heaps_close(hs);
    return ok;
}

bool heaps_open(struct heaps *hs, struct target *t)
{
    return heaps_prepare(hs, t) && heaps_copy(hs, t);
}

void heaps_close(struct heaps *hs)
{
    for (size_t i = 0; i < hs->n; i++)
        if (hs->views[i].memory != NULL)
            munmap(hs->views[i].memory, hs->views[i].reserved);
    free(hs->views);
    *hs = (struct heaps){0};
}

/* Only what is open can be in memory. A heap may lie in an object of another one, and what was
 * looked at is not looked at again. */
bool heaps_resident(const struct heaps *hs, struct target *t, struct extent **list, size_t *n)
{
    const struct mapping *m = target_mappings(t);
    uint64_t seen = 0, page = t->page_bytes;
    *list = NULL;
    *n = 0;
    for (size_t i = 0, k = 0; i < hs->n; i++) {
        uint64_t from = hs->views[i].base / page * page;
        uint64_t end = (hs->views[i].base + hs->views[i].nbytes + page - 1) / page * page;
        while (k < target_nmappings(t) && m[k].end <= from)
            k++;
        for (size_t j = k; j < target_nmappings(t) && m[j].start < end; j++) {
            uint64_t a = m[j].start > from ? m[j].start : from;
            uint64_t b = m[j].end < end ? m[j].end : end;
            a = a > seen ? a : seen;
            if (m[j].access == 0 || a >= b)
                continue;
            if (!target_resident(t, a, b, list, n))
                return false;
            seen = b;
        }
    }
    return true;
}

/* --- what is asked of a view -------------------------------------------------------------- */

const char *view_name(const struct view *v)
{
    static char name[80];
    if (v->kind == VIEW_MALLOC)
        return "malloc's heap";
    if (v->kind == VIEW_CLASSIC)
        return "Mem_Init's heap";
    int n = snprintf(name, sizeof name, "the heap at 0x%" PRIx64, v->address);
    if (v->part > 0)
        snprintf(name + n, sizeof name - (size_t)n, ", part %zu", v->part);
    return name;
}

/* Regions lie beside or in each other, so that one that an address is in is that of the last view
 * that begins at or below the address, or lies around that one. */
const struct view *heaps_view_of(const struct heaps *hs, uint64_t address)
{
    size_t low = 0, n = hs->n;
    while (n > 0) {
        size_t half = n / 2;
        bool is_below = hs->views[low + half].base <= address;
        low = is_below ? low + half + 1 : low;
        n = is_below ? n - half - 1 : half;
    }
    size_t i = view_around(hs, low > 0 ? low - 1 : NO_VIEW, address);
    return i == NO_VIEW ? NULL : &hs->views[i];
}

static struct target_piece piece_in_target(const struct view *v, const struct piece *p)
{
    struct slot slot;
    size_t offset = region_offset(&v->heap.chunks.region, p->start);
    bool is_object = p->kind == PIECE_OBJECT && p->nbytes <= SPAN_OBJECT_MAX;
    bool is_slot =
        p->kind == PIECE_FREE_SLOT || (is_object && spans_find(&v->heap.spans, offset, &slot));
    return (struct target_piece){.start = v->base + offset,
                                 .nbytes = p->nbytes,
                                 .size = p->size,
                                 .kind = p->kind,
                                 .is_slot = is_slot};
}

bool view_walk(const struct view *v, bool (*visit)(const struct target_piece *p, void *context),
               void *context)
{
    struct piece p;
    size_t at = 0;
    if (v->fault != NULL)
        return false;
    for (; heap_piece_locked(&v->heap, at, &p); at += p.nbytes) {
        if (p.nbytes == 0 || p.nbytes > v->nbytes - at || p.size > p.nbytes)
            return false;
        struct target_piece there = piece_in_target(v, &p);
        if (!visit(&there, context))
            return true;
    }
    return heap_ends_locked(&v->heap, at);
}

/* lookup_heap trusts nothing that it reads. */
enum heap_result view_find(const struct view *v, uint64_t address, struct target_piece *p)
{
    struct lookup_result there = {0};
    *p = (struct target_piece){0};
    if (v->fault != NULL)
        return HEAP_DAMAGED;
    enum heap_result what = lookup_heap(&v->heap, copy_at(v, address), &there);
    if (what != HEAP_OK && what != HEAP_FREE && what != HEAP_NO_OBJECT)
        return what;
    size_t offset = region_offset(&v->heap.chunks.region, there.start);
    if (offset >= v->nbytes || there.size > v->nbytes - offset)
        return what == HEAP_NO_OBJECT ? what : HEAP_DAMAGED;
    struct slot slot;
    bool is_slot = spans_find(&v->heap.spans, offset, &slot);
    *p = (struct target_piece){.start = v->base + offset,
                               .nbytes = there.size,
                               .size = what == HEAP_OK ? there.size : 0,
                               .kind = what == HEAP_OK ? PIECE_OBJECT : PIECE_FREE,
                               .is_slot = is_slot};
    return what;
}

static bool tally(const struct target_piece *p, void *context)
{
    struct piece piece = {.nbytes = p->nbytes, .size = p->size, .kind = p->kind};
    tally_piece(context, &piece);
    return true;
}

bool view_tally(const struct view *v, struct pieces_tally *t)
{
    t->region_bytes += v->nbytes;
    if (v->fault != NULL)
        return false;
    t->ledger_bytes += ledger_nbytes(&v->heap.chunks.ledger);
    return view_walk(v, tally, t);
}

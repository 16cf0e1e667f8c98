/* SPDX-License-Identifier: MIT
 *
 * attach.c - a heap in a buffer is detached, so that the buffer may be copied, moved or written to
 * a file, and attached again, at any address. The promises are in mem_heap.h.
 *
 *     in use        -- mem_heap_detach -->   detached     the first word says which
 *       ^                                       |
 *       +--------- mem_heap_attach -------------+         by this process or another one
 *
 * A heap that was never detached can be attached, too, if no heap of this process is there: its
 * process may have ended without detaching it. So attach believes nothing: it verifies the header,
 * and then recounts the whole heap (inspect_fault).
 *
 * A heap without spans is numbers, which are true at any address. One with spans holds addresses:
 * in its struct heap, and for each span where the state array is. These are moved by the difference
 * before the recount, which follows them, and moved back if the recount finds a fault.
 */
#include "heaps/create.h"
#include "heaps/hcache.h"
#include "heaps/header.h"
#include "heaps/inspect.h"
#include "heaps/registry.h"
#include "heaps/result.h"
#include "heaps/session.h"
#include "heaps/stored.h"
#include "ledger/ledger.h"
#include "slots/spans.h"

/* --- moving ---------------------------------------------------------------------- */

/* Makes true what a struct heap in memory says of where it lies: its region, its ledger, and the
 * addresses in its page map. `was` is where the region began. Returns false if the heap cannot be:
 * then the caller writes the old struct heap back. */
static bool move_to(mem_heap *m, struct heap *h, const unsigned char *was)
{
    struct chunks *c = &h->chunks;
    struct region r = header_region(m);
    ptrdiff_t delta = (ptrdiff_t)((uintptr_t)r.base - (uintptr_t)was);
    r.is_zero = false;
    c->region = r;
    c->list = (struct freelist){&c->region, &c->ledger, NULL};
    c->clean = NULL; /* these three are malloc's, and a heap with guard pages has no slots */
    c->unwritten = (struct unwritten){0, 0};
    c->ledger.guard = (struct guard){0};
    c->ledger.b.end = r.base + r.nbytes;
    c->ledger.b.room = c->ledger.nbytes = r.nbytes;
    h->spans.chunks = c;
    h->spans.threads.first = NULL;
    h->has_tcaches = false;
    h->keeps_pages = true;
    h->counters = NULL;
    return h->spans.changes % 2 == 0 && c->ledger.changes % 2 == 0 && ledger_is_sane(&c->ledger) &&
           spans_move(&h->spans, delta);
}

/* Moves a heap with spans, which hold addresses, to where its memory is now; and back again if it
 * turns out to be damaged, so that a refused attach changes nothing. MEM_BAD_BUFFER: it was moved
 * by less than whole slices, on which the spans rely. */
static enum mem_result relocate(mem_heap *m)
{
    assert(m->has_spans && !header_has_parts(m) && !header_has_guards(m));
    struct session v = {.m = m, .h = header_at(m, m->state)};
    struct heap was = *v.h;
    if (!move_to(m, v.h, was.chunks.region.base)) {
        size_t moved = (uintptr_t)v.h->chunks.region.base - (uintptr_t)was.chunks.region.base;
        bool slices = was.spans.nheld > 0 && moved % SLICE_BYTES != 0;
        *v.h = was;
        return slices ? MEM_BAD_BUFFER : MEM_DAMAGED;
    }
    if (inspect_fault(&v) == NULL) {
        if (header_has_hcache(m))
            hcache_close(header_hcache(m),
                         v.h); /* its windows are where they were before the move */
        return MEM_OK;
    }
    spans_move_back(&v.h->spans, (ptrdiff_t)((uintptr_t)v.h->chunks.region.base -
                                             (uintptr_t)was.chunks.region.base));
    *v.h = was;
    return MEM_DAMAGED;
}

/* --- the calls ------------------------------------------------------------------- */

/* Whether what lies in the buffer can be attached to, with these options. A heap with spans has
 * been moved if it can. */
static enum mem_result attach_examine(mem_heap *m, size_t nbytes, const struct mem_options *o)
{
    struct session v = {.m = m, .h = &v.view};
    enum mem_result result = header_examine(m, nbytes);
    if (result != MEM_OK)
        return result;
    if (header_has_parts(m))
        return MEM_TOO_LARGE;
    if (registry_has(m))
        return MEM_BUSY;
    if (m->extras == 0 && (o->on_exhausted != NULL || o->on_refused != NULL))
        return MEM_BAD_OPTIONS;
    if (m->has_spans)
        return relocate(m);
    stored_load(m, v.h);
    return inspect_fault(&v) == NULL ? MEM_OK : MEM_DAMAGED;
}

/* The order: what is refused must leave the buffer as it was, so that the header is written
 * last. */
MEM_API mem_heap *mem_heap_attach(void *buffer, size_t nbytes, const struct mem_options *options)
{
    const struct mem_options *o = create_options(options);
    mem_heap *m = buffer;
    if (m == NULL || (uintptr_t)m % HEAP_ALIGN != 0)
        return result_null(MEM_BAD_BUFFER);
    enum mem_result result = attach_examine(m, nbytes, o);
    if (result != MEM_OK)
        return result_null(result);
    header_make_anew(m, o);
    if (header_has_lock(m))
        session_make_lock(m);
    return create_register(m) ? m : result_null(MEM_NO_MEMORY);
}

/* The session finds out whether the heap is sound and not being walked. */
MEM_API enum mem_result mem_heap_detach(mem_heap *heap)
{
    struct session v;
    enum mem_result result = session_open(heap, &v);
    if (result != MEM_OK)
        return result;
    session_close(&v);
    if (heap->is_mapped)
        return result_set(MEM_BAD_BUFFER);
    create_unregister(heap, HEAP_DETACHED);
    return MEM_OK;
}

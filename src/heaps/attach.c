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
 * and then recounts the whole heap.
 *
 * A heap without spans is numbers, which are true at any address. One with spans has a struct heap,
 * a page map and an hcache in it, with addresses. Of these three, attach takes only what is stored
 * once (verify.h, VF1), checks it where it lies, and makes all else anew:
 *
 *     memory                                      stack
 *     struct heap -- heap_make_anew -------->  a view of the heap --+
 *     page map, states, records <-- check_given_locked (reads) -----+
 *        refused: nothing was written
 *     struct heap <-- heap_make_anew;  page map: spans_make_anew;  hcache_open
 *
 * So what a heap in use keeps for speed alone (queues, windows, countdowns, counts of spans) is not
 * even looked at.
 */
#include "core/pieces.h"
#include "core/watch.h"
#include "heaps/create.h"
#include "heaps/hcache.h"
#include "heaps/header.h"
#include "heaps/inspect.h"
#include "heaps/parts.h"
#include "heaps/registry.h"
#include "heaps/result.h"
#include "heaps/session.h"
#include "heaps/stored.h"
#include "slots/verify.h"

/* --- a heap with spans ------------------------------------------------------------- */

/* Returns how many bytes higher the region lies than when the addresses in it were stored. */
static ptrdiff_t bytes_moved(const mem_heap *m, const struct heap *was)
{
    return (ptrdiff_t)((uintptr_t)header_region(m).base - (uintptr_t)was->chunks.region.base);
}

/* Makes the struct heap in *h that the heap has where its memory is now. A copy of a heap that was
 * opened in steps has no gap. */
static void make_anew(const mem_heap *m, const struct heap *was, struct heap *h)
{
    parts_make(m, 0, h);
    ledger_end_gap(&h->chunks.ledger);
    heap_make_anew(h, was);
}

/* Makes the heap usable where its memory is now. It was checked, so that this cannot fail. */
static void make_usable(mem_heap *m)
{
    struct heap *h = header_at(m, m->state), was = *h;
    make_anew(m, &was, h);
    spans_make_anew(&h->spans, bytes_moved(m, &was));
    if (header_has_hcache(m))
        hcache_open(header_hcache(m), h, hcache_bytes(m->nbytes));
}

/* Returns MEM_OK if a heap with spans is whole; MEM_DAMAGED if it is not; or MEM_BAD_BUFFER if it
 * was moved by less than whole slices, on which the spans rely. Writes nothing to the buffer. */
static enum mem_result check_spans(mem_heap *m)
{
    struct session v = {.m = m, .h = &v.view};
    const struct heap *was = header_at(m, m->state);
    ptrdiff_t moved = bytes_moved(m, was);
    struct recount n;
    assert(m->has_spans && !header_has_parts(m) && !header_has_guards(m));
    make_anew(m, was, v.h);
    if (was->chunks.ledger.changes % 2 != 0 || was->spans.changes % 2 != 0 ||
        session_numbers_fault(&v) != NULL)
        return MEM_DAMAGED;
    if (was->spans.nheld > 0 && moved % (ptrdiff_t)slice_bytes(&v.h->spans) != 0)
        return MEM_BAD_BUFFER;
    if (check_given_locked(v.h, moved, &n) != NULL || !spans_rest_is_clear(&v.h->spans))
        return MEM_DAMAGED;
    return inspect_count_fault(m, &n) == NULL ? MEM_OK : MEM_DAMAGED;
}

/* --- the calls ------------------------------------------------------------------- */

/* Returns MEM_OK if what lies in the buffer can be attached to, with these options; else why not.
 * Writes nothing to it. */
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
        return check_spans(m);
    stored_load(m, v.h);
    return inspect_fault(&v) == NULL ? MEM_OK : MEM_DAMAGED;
}

/* Tells memcheck of what lives in the heap, which has one part. The session cannot fail, since the
 * heap was checked before it was registered, and no other thread has its address yet. */
static void tell_of_objects(mem_heap *m)
{
    struct session v;
    if (session_open(m, &v) != MEM_OK)
        return;
    watch_attached(v.h);
    session_close(&v);
}

/* What is refused leaves the buffer as it was. */
MEM_API mem_heap *mem_heap_attach(void *buffer, size_t nbytes, const struct mem_options *options)
{
    const struct mem_options *o = create_options(options);
    mem_heap *m = buffer;
    if (m == NULL || (uintptr_t)m % HEAP_ALIGN != 0)
        return result_null(MEM_BAD_BUFFER);
    enum mem_result result = attach_examine(m, nbytes, o);
    if (result != MEM_OK)
        return result_null(result);
    if (memcheck_is_there)
        create_make_room(m, m->nbytes);
    header_make_anew(m, o);
    if (m->has_spans)
        make_usable(m);
    if (header_has_lock(m))
        session_make_lock(m);
    if (!create_register(m))
        return result_null(MEM_NO_MEMORY);
    if (memcheck_is_there)
        tell_of_objects(m);
    return m;
}

/* The session finds out whether the heap is sound and not being walked. */
MEM_API enum mem_result mem_heap_detach(mem_heap *heap)
{
    struct session v;
    enum mem_result result = session_open(heap, &v);
    if (result != MEM_OK)
        return result;
    if (!heap->is_mapped)
        create_show_all(&v);
    session_close(&v);
    if (heap->is_mapped)
        return result_set(MEM_BAD_BUFFER);
    create_unregister(heap);
    header_detach(heap);
    return MEM_OK;
}

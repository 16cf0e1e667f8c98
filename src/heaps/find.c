/* SPDX-License-Identifier: MIT
 *
 * find.c - mem_find and mem_find_in: which heap an address is in, and what it is there.
 * The ways that they take: find.h; what a lookup may read: lookup.h, readers.h.
 *
 * Three things may happen to a lookup while it runs, and each is found out in another place:
 *
 *     the heap is destroyed              cannot be: the thread that does waits (readers.h)
 *     the table or the heap changes      sequence counts: read again, MEM_BUSY in the end
 *     the header or a record is nonsense checksum and bounds: MEM_DAMAGED
 *
 * An address may be in several heaps at once, as a heap may lie in an object of another one. The
 * innermost heap that is still there decides. That is why the view which find_fast goes by is kept
 * only as long as no heap of the table lies in another: else the address could be in an inner heap
 * that the view knows nothing of.
 */
#include "heaps/find.h"

#include "core/heap.h"
#include "heaps/foreign.h"
#include "heaps/header.h"
#include "core/lookup.h"
#include "heaps/parts.h"
#include "heaps/readers.h"
#include "heaps/registry.h"
#include "heaps/result.h"
#include "heaps/stored.h"

/* --- under the lock -------------------------------------------------------------- */

/* What core/heap.c calls free includes the rest of a span. Only spans have one, and a lookup knows
 * it. */
enum mem_result find_verdict(const struct session *v, const void *address, enum heap_result result)
{
    struct lookup_result there;
    assert(mutator_depth > 0);                                            /* in a session */
    bool in_header = (uintptr_t)address - (uintptr_t)v->m < v->m->nbytes; /* and in no region */
    if (result == HEAP_NOT_OURS && in_header)
        result = HEAP_NO_OBJECT;
    if (result == HEAP_FREE && v->m->has_spans)
        result = header_lookup(v->m, address, &there);
    return result_of_heap(result);
}

/* Under the lock the counts of changes stay as they are, so that the lookup is never HEAP_CHANGING,
 * except in a heap that was damaged. */
static enum mem_result find_locked(mem_heap *m, const void *address, struct mem_piece *found)
{
    struct session v;
    struct lookup_result there;
    enum mem_result result = session_open(m, &v);
    if (result != MEM_OK)
        return result;
    result = result_of_lookup(header_lookup(m, address, &there), &there, m, found);
    session_close(&v);
    return result_set(result);
}

/* --- in any heap ------------------------------------------------------------------- */

/* Returns whether the heap of a range is still there. If not, its memory was the caller's, and is
 * used for something else by now, though the heap was not destroyed. */
RACING static bool is_there(const struct heap_range *p)
{
    return p->owner == NULL || header_is_here(p->owner);
}

/* One lookup in the heap of a range. Its memory may have been overwritten by now, or hold another
 * heap: then it is MEM_DAMAGED, and nothing that the header says was followed. */
RACING static enum mem_result find_once(const struct heap_range *p, const void *address,
                                        struct mem_piece *found)
{
    struct lookup_result there;
    mem_heap *m = p->owner;
    enum heap_result what = HEAP_DAMAGED;
    if (m == NULL)
        what = lookup_heap(p->heap, address, &there);
    else if (header_is_whole(m) && m->nbytes == p->nbytes)
        what = header_lookup(m, address, &there);
    return result_of_lookup(what, &there, m, found);
}

/* The struct heap in whose slots the address may be: that of its part, or NULL if there is none, or
 * if it was written to where a lookup would go by it. For a part that is not open it is *view,
 * which has no spans, so that nothing of it is noted. */
RACING static const struct heap *heap_around(const struct heap_range *p, const void *address,
                                             struct heap *view)
{
    const mem_heap *m = p->owner;
    if (p->heap == NULL || m == NULL)
        return p->heap;
    if (!header_is_whole(m) || m->nbytes != p->nbytes)
        return NULL;
    size_t part = parts_index(m, address);
    const struct heap *h = parts_heap(m, part, view);
    return parts_is_in_place(m, part, h) ? h : NULL;
}

/* Notes the slots around the address for the thread's next lookup (find_fast). */
static void note_spans(struct lookup_scope *scope, const struct heap_range *p, const void *address)
{
    struct heap view;
    struct lookup_view spans = {0};
    const struct heap *h = heap_around(p, address, &view);
    bool has_spans = h != NULL && lookup_view_open(h, &spans);
    spans.owner = p->owner;
    lookup_note(scope, &spans, has_spans ? p->version : 0);
}

/* Stores in *again whether MEM_BUSY means that a heap was being changed, and not the table. */
static enum mem_result find_anywhere(struct lookup_scope *scope, const void *address,
                                     struct mem_piece *found, bool *again)
{
    struct heap_range p;
    enum registry_result result = registry_find((uintptr_t)address, &p);
    while (result == REGISTRY_FOUND && !is_there(&p)) {
        struct heap_range inner = p;
        result = registry_find_around(&inner, &p);
    }
    *again = result == REGISTRY_FOUND;
    if (result != REGISTRY_FOUND)
        return result == REGISTRY_NONE ? MEM_NOT_OURS : MEM_BUSY;
    note_spans(scope, &p, address);
    return find_once(&p, address, found);
}

/* The lookup ends before each pause: the thread that changes the heap may itself be waiting for a
 * processor, or for all lookups to end. */
__attribute__((noinline)) static enum mem_result find_slow(const void *address,
                                                           struct mem_piece *found)
{
    enum mem_result result = MEM_BUSY;
    bool again = true;
    for (unsigned n = 0; result == MEM_BUSY && again && lookup_pause(n); n++) {
        struct lookup_scope scope = lookup_begin();
        result = find_anywhere(&scope, address, found, &again);
        lookup_end(&scope);
    }
    return result;
}

/* --- in the heap of the last time ----------------------------------------------------- */

/* Finds an object in a slot of the heap that the thread's last lookup was in, which nearly always
 * it is. Returns false if the address is not seen to be in one, or is in another heap than `only`,
 * if that is not NULL. */
static inline __attribute__((always_inline)) bool
find_fast(const void *address, const mem_heap *only, struct mem_piece *found)
{
    struct lookup_result p = {0};
    uint32_t was;
    struct reader *r = reader_mine;
    if (!lookup_begin_fast(r, &was))
        return false;
    bool seen = lookup_object(&r->last, (uintptr_t)address, &p);
    void *owner = r->last.owner;
    lookup_end_fast(r, was);
    if (!seen || (only != NULL && owner != only))
        return false;
    *found = (struct mem_piece){p.start, p.size, true, owner};
    return true;
}

/* Notes no error, and neither way touches errno: the caller may be a signal handler. */
MEM_API enum mem_result mem_find(const void *address, struct mem_piece *found)
{
    return find_fast(address, NULL, found) ? MEM_OK : find_slow(address, found);
}

/* --- in one heap ------------------------------------------------------------------- */

/* The heap is searched for by its own address, since that is what has to be in the table. Then it
 * notes the slots of this heap for the next time, if the table says that it is there. */
static void note_heap(const mem_heap *m, const void *address)
{
    struct heap_range p;
    struct lookup_scope scope = lookup_begin();
    if (registry_find((uintptr_t)m, &p) == REGISTRY_FOUND && p.owner == m &&
        (uintptr_t)address - p.base < p.nbytes)
        note_spans(&scope, &p, address);
    lookup_end(&scope);
}

/* The lookups are within a scope, although the caller keeps the heap alive: a guard page goes up
 * only when they have ended [GD2]. */
__attribute__((noinline)) static enum mem_result find_in_slow(mem_heap *heap, const void *address,
                                                              struct mem_piece *found)
{
    enum { TRIES = 8 };
    struct lookup_result p;
    enum heap_result what = HEAP_CHANGING;
    struct heap *foreign = foreign_heap(heap);
    if (foreign != NULL)
        return result_set(foreign_find(foreign, heap, address, found));
    enum mem_result result = session_verify(heap);
    if (result != MEM_OK)
        return result_set(result);
    if (heap->has_spans)
        note_heap(heap, address);
    struct lookup_scope scope = lookup_begin();
    for (int i = 0; i < TRIES && what == HEAP_CHANGING; i++)
        what = header_lookup(heap, address, &p);
    lookup_end(&scope);
    if (what == HEAP_CHANGING)
        return find_locked(heap, address, found);
    return result_set(result_of_lookup(what, &p, heap, found));
}

/* NULL would mean any heap to find_fast. */
MEM_API enum mem_result mem_find_in(mem_heap *heap, const void *address, struct mem_piece *found)
{
    bool seen = heap != NULL && find_fast(address, heap, found);
    return seen ? MEM_OK : find_in_slow(heap, address, found);
}

/* SPDX-License-Identifier: MIT */
#include "heaps/find.h"

#include "heaps/readers.h"
#include "heaps/registry.h"

/* The free slot or chunk that the address lies in. False: what is left over behind the
 * last slot of a span, which nobody can have. */
static bool find_free(const struct heap *h, const void *address, struct mem_piece *found)
{
    size_t offset = region_offset(&h->chunks.region, address);
    struct slot slot = {0};
    struct chunk chunk;
    ledger_find(&h->chunks.ledger, (uint32_t)(offset / GRANULE_BYTES), &chunk);
    size_t start = (size_t)chunk.start * GRANULE_BYTES;
    size_t nbytes = (size_t)chunk.length * GRANULE_BYTES, end = start + nbytes;
    if (spans_find(&h->spans, offset, &slot)) {
        start = offset - slot.into;
        nbytes = slot.bytes;
    }
    *found = (struct mem_piece){h->chunks.region.base + start, nbytes, false, NULL};
    return start + nbytes <= end && !slot.is_rest;
}

enum mem_result find_verdict(const struct session *v, const void *address, enum heap_result result)
{
    struct mem_piece piece;
    bool in_header = (uintptr_t)address - (uintptr_t)v->m < v->m->nbytes; /* and in no region */
    if ((result == HEAP_NOT_OURS && in_header) ||
        (result == HEAP_FREE && !find_free(v->h, address, &piece)))
        return MEM_NO_OBJECT;
    return result_of_heap(result);
}

/* --- asking ---------------------------------------------------------------- */

static enum mem_result find_locked(mem_heap *m, const void *address, struct mem_piece *found)
{
    struct session v;
    struct object object;
    enum mem_result result = session_open(m, &v);
    if (result != MEM_OK)
        return result;
    session_select(&v, address);
    result = find_verdict(&v, address, heap_find_locked(v.h, address, &object));
    if (result == MEM_INSIDE)
        result = MEM_OK;
    if (result == MEM_OK)
        *found = (struct mem_piece){object.start, object.size, true, m};
    else if (result == MEM_FREE && find_free(v.h, address, found))
        found->heap = m;
    session_close(&v);
    return result == MEM_FREE ? MEM_OK : result_set(result);
}

/* What a lookup found, in the words of mem_heap.h. */
static enum mem_result found_piece(enum heap_result what, const struct lookup_result *p,
                                   mem_heap *heap, struct mem_piece *found)
{
    if (what != HEAP_OK && what != HEAP_FREE)
        return result_of_heap(what);
    *found = (struct mem_piece){p->start, p->size, what == HEAP_OK, heap};
    return MEM_OK;
}

/* --- any address -------------------------------------------------------------- */

/* A place in which there is no heap any more: its memory was the caller's, who has not
 * destroyed it and uses it for something else. */
RACING static bool is_there(const struct heap_range *p)
{
    return p->owner == NULL || header_is_here(p->owner);
}

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
    return found_piece(what, &there, m, found);
}

/* Where slots may be that the address is one of: in a part of it; NULL: nowhere. (A view is without
 * spans, so nothing in it is noted.) */
RACING static const struct heap *heap_with(const struct heap_range *p, const void *address,
                                           struct heap *view)
{
    const mem_heap *m = p->owner;
    if (p->nbytes <= PART_BYTES || m == NULL)
        return p->heap;
    if (!header_is_whole(m) || m->nbytes != p->nbytes)
        return NULL;
    return header_heap(m, header_part_of(m, address), view);
}

static void note_spans(struct lookup_scope *scope, const struct heap_range *p, const void *address)
{
    struct heap view;
    struct lookup_view spans = {0};
    const struct heap *h = heap_with(p, address, &view);
    bool has_spans = h != NULL && lookup_view_open(h, &spans);
    spans.owner = p->owner;
    lookup_note(scope, &spans, has_spans ? p->version : 0);
}

/* `*again`: a heap was being changed. */
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

/* Whoever changes the heap may itself be waiting for a processor; or for all looks to end. */
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

/* An object in a slot of the heap that the last one was in: nearly always it is, and
 * all that is in a hurry. False: it is not seen to be one, or not in the `only` heap that
 * matters, if that is not NULL. */
static inline __attribute__((always_inline)) bool
find_fast(const void *address, const mem_heap *only, struct mem_piece *found)
{
    struct lookup_result p;
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

MEM_API enum mem_result mem_find(const void *address, struct mem_piece *found)
{
    return find_fast(address, NULL, found) ? MEM_OK : find_slow(address, found);
}

/* For the next time. */
static void note_heap(const mem_heap *m, const void *address)
{
    struct heap_range p;
    struct lookup_scope scope = lookup_begin();
    if (registry_find((uintptr_t)m, &p) == REGISTRY_FOUND && p.owner == m &&
        (uintptr_t)address - p.base < p.nbytes)
        note_spans(&scope, &p, address);
    lookup_end(&scope);
}

__attribute__((noinline)) static enum mem_result find_in_slow(mem_heap *heap, const void *address,
                                                              struct mem_piece *found)
{
    enum { TRIES = 8 };
    struct lookup_result p;
    enum heap_result what = HEAP_CHANGING;
    struct heap *foreign = foreign_heap(heap);
    if (foreign != NULL)
        return result_set(found_piece(foreign_find(foreign, address, &p), &p, heap, found));
    enum mem_result result = header_verify(heap);
    if (result != MEM_OK)
        return result_set(result);
    if (heap->has_spans)
        note_heap(heap, address);
    struct lookup_scope scope = lookup_begin(); /* a fence goes up only when it has ended */
    for (int i = 0; i < TRIES && what == HEAP_CHANGING; i++)
        what = header_lookup(heap, address, &p);
    lookup_end(&scope);
    if (what == HEAP_CHANGING)
        return find_locked(heap, address, found);
    return result_set(found_piece(what, &p, heap, found));
}

MEM_API enum mem_result mem_find_in(mem_heap *heap, const void *address, struct mem_piece *found)
{
    bool seen = heap != NULL && find_fast(address, heap, found);
    return seen ? MEM_OK : find_in_slow(heap, address, found);
}

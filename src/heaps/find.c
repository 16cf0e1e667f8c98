/* SPDX-License-Identifier: MIT */
#include "heaps/find.h"

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

enum mem_result find_verdict(const struct visit *v, const void *address, enum heap_result result)
{
    struct mem_piece piece;
    bool in_header = (uintptr_t)address - (uintptr_t)v->m < v->m->nbytes; /* and in no region */
    if ((result == HEAP_NOT_OURS && in_header) ||
        (result == HEAP_FREE && !find_free(v->h, address, &piece)))
        return MEM_NO_OBJECT;
    return visit_result(result);
}

/* --- asking ---------------------------------------------------------------- */

static enum mem_result find_locked(mem_heap *m, const void *address, struct mem_piece *found)
{
    struct visit v;
    struct object object;
    enum mem_result result = visit_enter(m, &v);
    if (result != MEM_OK)
        return result;
    visit_address(&v, address);
    result = find_verdict(&v, address, heap_find_locked(v.h, address, &object));
    if (result == MEM_INSIDE)
        result = MEM_OK;
    if (result == MEM_OK)
        *found = (struct mem_piece){object.start, object.size, true, m};
    else if (result == MEM_FREE && find_free(v.h, address, found))
        found->heap = m;
    visit_leave(&v);
    return result == MEM_FREE ? MEM_OK : say(result);
}

/* What was peeked at is to callers. */
static enum mem_result told(enum peek what, const struct peeked *p, mem_heap *heap,
                            struct mem_piece *found)
{
    switch (what) {
    case PEEK_OBJECT:
    case PEEK_FREE:
        *found = (struct mem_piece){p->start, p->size, what == PEEK_OBJECT, heap};
        return MEM_OK;
    case PEEK_OUTSIDE:
        return MEM_NOT_OURS;
    case PEEK_NONSENSE:
        return MEM_DAMAGED;
    case PEEK_CHANGING:
        return MEM_BUSY;
    case PEEK_NO_OBJECT:
    case PEEK_NO_SLOT:
        break;
    }
    return MEM_NO_OBJECT;
}

/* --- any address -------------------------------------------------------------- */

/* A place in which there is no heap any more: its memory was the caller's, who has not
 * destroyed it and uses it for something else. */
RACING static bool is_there(const struct place *p)
{
    return p->owner == NULL || header_is_here(p->owner);
}

RACING static enum mem_result find_once(const struct place *p, const void *address,
                                        struct mem_piece *found)
{
    struct peeked peeked;
    mem_heap *m = p->owner;
    enum peek what = PEEK_NONSENSE;
    if (m == NULL)
        what = peek_heap(p->heap, address, &peeked);
    else if (header_is_whole(m) && m->nbytes == p->nbytes)
        what = header_peek(m, address, &peeked);
    return told(what, &peeked, m, found);
}

/* Where slots may be that the address is one of: in a part of it; NULL: nowhere. (A view is without
 * spans, so nothing in it is noted.) */
RACING static const struct heap *heap_with(const struct place *p, const void *address,
                                           struct heap *view)
{
    const mem_heap *m = p->owner;
    if (p->nbytes <= PART_BYTES || m == NULL)
        return p->heap;
    if (!header_is_whole(m) || m->nbytes != p->nbytes)
        return NULL;
    return header_heap(m, header_part_of(m, address), view);
}

static void note_spans(struct look *look, const struct place *p, const void *address)
{
    struct heap view;
    struct peeked_spans spans = {0};
    const struct heap *h = heap_with(p, address, &view);
    bool has_spans = h != NULL && peek_spans(h, &spans);
    spans.owner = p->owner;
    registry_note(look, &spans, has_spans ? p->version : 0);
}

/* `*again`: a heap was being changed. */
static enum mem_result find_anywhere(struct look *look, const void *address,
                                     struct mem_piece *found, bool *again)
{
    struct place p;
    enum registry_result result = registry_find((uintptr_t)address, &p);
    while (result == REGISTRY_FOUND && !is_there(&p)) {
        struct place inner = p;
        result = registry_find_around(&inner, &p);
    }
    *again = result == REGISTRY_FOUND;
    if (result != REGISTRY_FOUND)
        return result == REGISTRY_NONE ? MEM_NOT_OURS : MEM_BUSY;
    note_spans(look, &p, address);
    return find_once(&p, address, found);
}

/* Whoever changes the heap may itself be waiting for a processor; or for all looks to end. */
__attribute__((noinline)) static enum mem_result find_slowly(const void *address,
                                                             struct mem_piece *found)
{
    enum mem_result result = MEM_BUSY;
    bool again = true;
    for (unsigned n = 0; result == MEM_BUSY && again && registry_wait(n); n++) {
        struct look look = registry_begin();
        result = find_anywhere(&look, address, found, &again);
        registry_end(&look);
    }
    return result;
}

/* An object in a slot of the heap that the last one was in: nearly always it is, and
 * all that is in a hurry. False: it is not seen to be one, or not in the `only` heap that
 * matters, if that is not NULL. */
static inline __attribute__((always_inline)) bool
find_fast(const void *address, const mem_heap *only, struct mem_piece *found)
{
    struct peeked p;
    uint32_t was;
    struct reader *r = registry_reader;
    if (!registry_begin_fast(r, &was))
        return false;
    bool seen = peek_object(&r->last, (uintptr_t)address, &p);
    void *owner = r->last.owner;
    registry_end_fast(r, was);
    if (!seen || (only != NULL && owner != only))
        return false;
    *found = (struct mem_piece){p.start, p.size, true, owner};
    return true;
}

MEM_API enum mem_result mem_find(const void *address, struct mem_piece *found)
{
    return find_fast(address, NULL, found) ? MEM_OK : find_slowly(address, found);
}

/* For the next time. */
static void note_heap(const mem_heap *m, const void *address)
{
    struct place p;
    struct look look = registry_begin();
    if (registry_find((uintptr_t)m, &p) == REGISTRY_FOUND && p.owner == m &&
        (uintptr_t)address - p.base < p.nbytes)
        note_spans(&look, &p, address);
    registry_end(&look);
}

__attribute__((noinline)) static enum mem_result find_in_slowly(mem_heap *heap, const void *address,
                                                                struct mem_piece *found)
{
    enum { TRIES = 8 };
    struct peeked p;
    enum peek what = PEEK_CHANGING;
    struct heap *guest = guest_heap(heap);
    if (guest != NULL)
        return say(told(guest_find(guest, address, &p), &p, heap, found));
    enum mem_result result = look_at(heap);
    if (result != MEM_OK)
        return say(result);
    if (heap->has_spans)
        note_heap(heap, address);
    struct look look = registry_begin(); /* a fence goes up only when it has ended */
    for (int i = 0; i < TRIES && what == PEEK_CHANGING; i++)
        what = header_peek(heap, address, &p);
    registry_end(&look);
    if (what == PEEK_CHANGING)
        return find_locked(heap, address, found);
    return say(told(what, &p, heap, found));
}

MEM_API enum mem_result mem_find_in(mem_heap *heap, const void *address, struct mem_piece *found)
{
    bool seen = heap != NULL && find_fast(address, heap, found);
    return seen ? MEM_OK : find_in_slowly(heap, address, found);
}

/* SPDX-License-Identifier: MIT
 *
 * watch.c - tells memcheck of the objects of a heap. Invariants: watch.h.
 */
#include "core/watch.h"

#include "core/pieces.h"

/* A change of the ledger adds two records at most. A call on a heap with slots makes a few such
 * changes: for a span, for the states of another one, for the page map. Memory that records have
 * had once stays shown, even if an object gets it and is freed: to hide it again would take a call
 * wherever the ledger becomes shorter. */
void watch_change(const struct heap *h)
{
    enum { MORE_FOR_SPANS = 16 };
    const struct ledger *l = &h->chunks.ledger;
    size_t most = ledger_nbytes_most(l);
    if (h->spans.object_max > 0)
        most += (size_t)MORE_FOR_SPANS * BTREE_COST;
    most = most < l->nbytes ? most : l->nbytes;
    memcheck_show(l->b.end - most, most - ledger_nbytes(l));
}

/* Two granules are more than memcheck looks around a block. They are slack, so that every question
 * about the object has the answer that it would have without memcheck; only where the object lies,
 * and how much fits into the heap, is different. */
enum heap_result watch_place_apart(struct heap *h, size_t nbytes, size_t align, void **object)
{
    size_t room = nbytes + 2 * (size_t)GRANULE_BYTES;
    return heap_take_room_locked(h, nbytes, &room, align, object, NULL);
}

/* All that no other object can have: the slot or the chunk. It is looked up, since what took the
 * object does not say where it found it, and memcheck is slow anyway. */
static size_t room_of(const struct heap *h, const void *object)
{
    struct object found;
    struct location at;
    enum heap_result result = heap_locate_locked(h, object, &found, &at);
    assert(result == HEAP_OK && found.start == object);
    (void)result;
    return location_room(&at);
}

void watch_taken(const struct heap *h, void *object, size_t size)
{
    memcheck_take(object, size, room_of(h, object));
}

void watch_resized(const struct heap *h, void *object, size_t old, size_t size)
{
    memcheck_resize(object, old, size, room_of(h, object));
}

/* What is in the heap was written by a process that memcheck has perhaps not seen: so all of it
 * counts as initialised. */
void watch_attached(const struct heap *h)
{
    struct piece p;
    for (size_t at = 0; heap_piece_locked(h, at, &p); at += p.nbytes)
        if (p.kind == PIECE_OBJECT) {
            memcheck_take(p.start, p.size, p.nbytes);
            memcheck_show(p.start, p.size);
        }
}

/* The caller may use the memory for something else, so nothing of it stays hidden. */
void watch_ended(const struct heap *h)
{
    struct piece p;
    for (size_t at = 0; heap_piece_locked(h, at, &p); at += p.nbytes)
        if (p.kind == PIECE_OBJECT)
            memcheck_forget(p.start, p.size);
}

/* --- a heap with a free list --------------------------------------------------------- */

/* Begins a change. It may write nodes into memory that was an object and may not be touched. Only
 * afterwards it is known where that was, so what the library does until then is not reported; it
 * touches no object. */
static void begin(struct heap *h)
{
    heap_lock(h);
    if (h->chunks.region.base != NULL)
        watch_change(h);
    memcheck_quiet(true);
}

/* Ends it. A change writes the nodes of the free chunks around the address, and that of the tail,
 * whose length changes with each record. */
static void end(struct heap *h, const void *address)
{
    struct around a;
    const struct region *r = &h->chunks.region;
    memcheck_quiet(false);
    ledger_around(&h->chunks.ledger, (uint32_t)(region_offset(r, address) / GRANULE_BYTES), &a);
    struct chunk nodes[] = {a.before, a.here, a.after, ledger_tail(&h->chunks.ledger)};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        if (nodes[i].length > 0)
            memcheck_show(region_at(r, nodes[i].start), GRANULE_BYTES);
    heap_unlock(h);
}

enum heap_result watch_take(struct heap *h, size_t nbytes, enum fit fit, void **object)
{
    begin(h);
    enum heap_result result = heap_place_locked(h, nbytes, 1, fit, object);
    if (result == HEAP_OK)
        watch_taken(h, *object, nbytes);
    end(h, result == HEAP_OK ? *object : h->chunks.region.base);
    return result;
}

enum heap_result watch_free(struct heap *h, const void *address)
{
    struct object found;
    /* The object is hidden first, and then what has become a node is shown. */
    begin(h);
    enum heap_result result = heap_free_locked(h, address, false, &found);
    if (result == HEAP_OK)
        memcheck_free(found.start, found.size);
    end(h, result == HEAP_OK ? found.start : h->chunks.region.base);
    return result;
}

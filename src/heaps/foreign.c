/* SPDX-License-Identifier: MIT
 *
 * foreign.c - malloc's heap and Mem_Init's, as mem_heap.h shows them. Invariants: foreign.h.
 *
 * libmem-malloc.so and libmem.so are two libraries, each with its own copy of the ledger's and the
 * slots' code. They share a heap by agreeing on its layout: malloc's library hands its struct heap
 * over at the start (mem_heap_also), with a number that changes whenever the layout does.
 *
 * Such a heap changes all the time, and its lock must not be held while a visitor runs. So a walk
 * alternates:
 *
 *     lock    note up to 128 pieces    unlock    show them    lock    note from there on ...
 *                                  ^ s.at: where the next piece begins, whatever changes now
 */
#include "heaps/foreign.h"

#include "base/os.h"
#include "base/seqcount.h"
#include "core/pieces.h"
#include "heaps/fork.h"
#include "heaps/header.h"
#include "heaps/registry.h"
#include "heaps/result.h"

/* --- handles ---------------------------------------------------------------------- */

/* A handle is never written to, and is no heap to any call: its magic is 0 [FO1]. */
static struct {
    mem_heap handle;
    struct heap *heap; /* NULL: there is none so far */
} foreign_heaps[NFOREIGN];
static bool malloc_is_of_another_version; /* that this library does not understand */

/* If the registry has no room for it, mem_find does not know the heap, and all else is as it should
 * be. The store publishes an open heap to the other threads. */
void foreign_add(enum foreign which, struct heap *h)
{
    const struct region *r = &h->chunks.region;
    assert(which < NFOREIGN && r->base != NULL && r->nbytes > 0);
    assert(foreign_heaps[which].heap == NULL || foreign_heaps[which].heap == h);
    fork_register_handlers();
    (void)registry_add(
        &(struct heap_range){(uintptr_t)r->base, r->nbytes, NULL, h, 0, 0, RANGE_IN_USE});
    __atomic_store_n(&foreign_heaps[which].heap, h, __ATOMIC_RELEASE);
}

struct heap *foreign_heap(const mem_heap *m)
{
    for (int i = 0; i < NFOREIGN; i++)
        if (m == &foreign_heaps[i].handle)
            return __atomic_load_n(&foreign_heaps[i].heap, __ATOMIC_ACQUIRE);
    return NULL;
}

/* A libmem-malloc.so that the program has beside this library calls it when it starts. That is all
 * that the two libraries know of each other. */
MEM_API void mem_heap_also(struct heap *heap, size_t layout);
MEM_API void mem_heap_also(struct heap *heap, size_t layout)
{
    if (layout == HEAP_LAYOUT)
        foreign_add(FOREIGN_MALLOC, heap);
    else
        __atomic_store_n(&malloc_is_of_another_version, true, __ATOMIC_RELAXED);
}

/* The handle of a heap, or NULL with the error noted if it is not there. */
static mem_heap *handle_of(enum foreign which, enum mem_result why_not)
{
    mem_heap *m = &foreign_heaps[which].handle;
    assert(m->magic == 0 && m->nbytes == 0); /* FO1 */
    return foreign_heap(m) == NULL ? result_null(why_not) : m;
}

MEM_API mem_heap *mem_heap_of_process(void)
{
    return handle_of(FOREIGN_MALLOC,
                     NOW(malloc_is_of_another_version) ? MEM_BAD_VERSION : MEM_NO_HEAP);
}

MEM_API mem_heap *mem_heap_of_classic(void)
{
    return handle_of(FOREIGN_CLASSIC, MEM_NO_HEAP);
}

/* --- finding ------------------------------------------------------------------------ */

/* Without the lock at first. If the heap changes all the time, with it: then no thread makes a
 * change that is counted. */
enum mem_result foreign_find(struct heap *h, mem_heap *m, const void *address,
                             struct mem_piece *found)
{
    enum { TRIES = 8 };
    struct lookup_result there;
    enum heap_result what = HEAP_CHANGING;
    for (int i = 0; i < TRIES && what == HEAP_CHANGING; i++)
        what = lookup_heap(h, address, &there);
    if (what == HEAP_CHANGING) {
        heap_lock(h);
        what = lookup_heap(h, address, &there);
        heap_unlock(h);
    }
    return result_of_lookup(what, &there, m, found);
}

/* --- walking ------------------------------------------------------------------------ */

/* Pieces that were noted under the lock [FO2]. */
struct stretch {
    size_t at; /* what begins behind this is still to be noted */
    unsigned n;
    struct mem_piece piece[128];
};

/* Notes the next pieces, as many as have room. Returns false when all were noted. */
static bool note_locked(const struct heap *h, mem_heap *m, struct stretch *s)
{
    enum { MOST = sizeof s->piece / sizeof s->piece[0] };
    struct piece p;
    for (s->n = 0; s->n < MOST; s->at += p.nbytes) {
        if (!heap_piece_from_locked(h, &s->at, &p))
            return false;
        if (p.kind != PIECE_METADATA)
            s->piece[s->n++] = result_of_piece(&p, m);
    }
    return true;
}

/* Damage is told after the pieces before it were shown, and not if the visitor has ended the
 * walk. */
enum mem_result foreign_walk(struct heap *h, mem_heap *m, mem_visitor visit, void *context)
{
    struct stretch s = {.at = 0};
    bool more = true, damaged = false;
    while (more) {
        heap_lock(h);
        more = note_locked(h, m, &s);
        damaged = !more && !heap_ends_locked(h, s.at);
        heap_unlock(h);
        for (unsigned i = 0; i < s.n; i++)
            if (!visit(&s.piece[i], context))
                return MEM_OK;
    }
    return damaged ? MEM_DAMAGED : MEM_OK;
}

/* --- counting and checking -------------------------------------------------------------- */

/* The system is asked for what is resident after the lock was released: that takes a while. */
enum mem_result foreign_stats(struct heap *h, struct mem_statistics *stats)
{
    struct pieces_tally t = {0};
    heap_lock(h);
    struct mem_statistics s = {.region_bytes = h->chunks.region.nbytes};
    s.peak_bytes = h->counters == NULL ? 0 : h->counters->live_bytes_peak;
    bool whole = tally_heap_locked(&t, h);
    heap_unlock(h);
    if (!whole)
        return MEM_DAMAGED;
    result_of_tally(&t, &s);
    s.resident_bytes = os_resident_bytes(h->chunks.region.base, s.region_bytes);
    *stats = s;
    return MEM_OK;
}

/* All that is counted changes under the lock only, except the states of slots: a fault is none that
 * another thread makes by taking or freeing. */
enum mem_result foreign_check(struct heap *h, const char **wrong)
{
    struct recount n;
    heap_lock(h);
    const char *fault = check_fault_locked(h, &n);
    heap_unlock(h);
    if (wrong != NULL)
        *wrong = fault;
    return fault == NULL ? MEM_OK : MEM_DAMAGED;
}

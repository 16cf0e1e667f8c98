/* SPDX-License-Identifier: MIT
 *
 * foreign.c - malloc's heap and Mem_Init's, as mem_heap.h shows them. Invariants: foreign.h.
 */
#include "heaps/foreign.h"

#include "core/pieces.h"
#include "heaps/fork.h"
#include "heaps/header.h"
#include "heaps/registry.h"
#include "heaps/result.h"

/* --- handles ---------------------------------------------------------------------- */

static struct {
    mem_heap handle; /* all 0 [FO1] */
    struct heap *heap;
} foreign_heaps[NFOREIGN];
static bool malloc_is_of_another_version;

void foreign_add(enum foreign which, struct heap *h)
{
    const struct region *r = &h->chunks.region;
    fork_register_handlers();
    (void)registry_add(&(struct heap_range){(uintptr_t)r->base, r->nbytes, NULL, h, 0, 0});
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

static mem_heap *handle_of(enum foreign which, enum mem_result why_not)
{
    mem_heap *m = &foreign_heaps[which].handle;
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

/* Notes the next pieces, as many as have room. Returns false if there are no more. */
static bool note_locked(const struct heap *h, mem_heap *m, struct stretch *s)
{
    enum { MOST = sizeof s->piece / sizeof s->piece[0] };
    struct piece p;
    for (s->n = 0; s->n < MOST; s->at += p.nbytes) {
        if (!heap_piece_from_locked(h, &s->at, &p))
            return false;
        bool live = p.kind == PIECE_OBJECT;
        if (p.kind != PIECE_METADATA)
            s->piece[s->n++] = (struct mem_piece){p.start, live ? p.size : p.nbytes, live, m};
    }
    return true;
}

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

/* SPDX-License-Identifier: MIT */
#include "heaps/foreign.h"

#include "core/pieces.h"
#include "heaps/fork.h"
#include "heaps/registry.h"

static struct {
    mem_heap handle; /* all 0 */
    struct heap *heap;
} foreign_heaps[NFOREIGN];
static bool is_of_another_version;

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

/* Called by a libmem-malloc.so that a program has beside this library. */
MEM_API void mem_heap_also(struct heap *heap, size_t layout);
MEM_API void mem_heap_also(struct heap *heap, size_t layout)
{
    if (layout == HEAP_LAYOUT)
        foreign_add(FOREIGN_MALLOC, heap);
    else
        __atomic_store_n(&is_of_another_version, true, __ATOMIC_RELAXED);
}

mem_heap *foreign_handle(enum foreign which)
{
    mem_heap *m = &foreign_heaps[which].handle;
    return foreign_heap(m) == NULL ? NULL : m;
}

bool foreign_is_of_another_version(void)
{
    return NOW(is_of_another_version);
}

/* --- looking ------------------------------------------------------------------------ */

enum heap_result foreign_find(struct heap *h, const void *address, struct lookup_result *p)
{
    enum { TRIES = 8 };
    enum heap_result what = HEAP_CHANGING;
    for (int i = 0; i < TRIES && what == HEAP_CHANGING; i++)
        what = lookup_heap(h, address, p);
    if (what != HEAP_CHANGING)
        return what;
    heap_lock(h); /* now nobody makes changes that are counted */
    what = lookup_heap(h, address, p);
    heap_unlock(h);
    return what;
}

/* Pieces that were noted under the lock. */
struct stretch {
    size_t at; /* what begins behind this is still to be noted */
    unsigned n;
    struct mem_piece piece[128];
};

/* False: there is no more. */
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

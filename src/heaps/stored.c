/* SPDX-License-Identifier: MIT
 *
 * stored.c - between the numbers of a small heap and a struct heap; and the lookup that reads the
 * numbers where they are. Invariants: stored.h, header.h.
 *
 *     stored                                      follows from the header's own address
 *     words, root, height of each tree            where the region begins and ends
 *     nodes, top, checksum of records, high,      where each node is: trees count from the end
 *     granules in live chunks, the guard          that there are no spans
 *
 * To make a struct heap for each call costs a few dozen stores. In return a heap takes 256 bytes,
 * and lies wherever its buffer does: nothing has to be made right when the buffer was moved.
 */
#include "heaps/stored.h"

#include "base/seqcount.h"
#include "core/heap.h"
#include "heaps/guard.h"
#include "heaps/parts.h"
#include "ledger/ledger.h"

/* Returns the place of the guard, right behind the other numbers of a heap with guard pages. */
RACING static struct stored_guard *stored_guard_of(const mem_heap *m)
{
    return header_at(m, m->state + sizeof(struct stored));
}

/* Returns false if the place was overwritten, or is being changed. */
RACING static bool load_guard(const mem_heap *m, struct ledger *l)
{
    return guard_load(stored_guard_of(m), header_guard_bytes(m) / GRANULE_BYTES, l);
}

/* --- between header and struct heap ----------------------------------------------- */

/* What is not stored follows from where the region lies; or it is not needed, as a heap that moves
 * gives no pages back to the system and has no spans. A guard that is nowhere makes ledger_is_sane
 * false, so that what guard_load returns is not needed, either. */
void stored_load(const mem_heap *m, struct heap *h)
{
    const struct stored *s = header_at(m, m->state);
    struct region r = header_region(m);
    assert(!m->has_spans && !header_has_parts(m));
    *h = (struct heap){.keeps_pages = true, .trim.peak = TRIM_NEVER};
    h->chunks.region = r;
    h->chunks.ledger = (struct ledger){
        .b = {.end = r.base + r.nbytes,
              .nnodes = s->nnodes,
              .top = s->top,
              .sum = s->sum,
              .tree = {{s->nwords[0], s->root[0], s->height[0]},
                       {s->nwords[1], s->root[1], s->height[1]}},
              .room = r.nbytes},
        .nbytes = r.nbytes,
        .high = s->high,
        .used = s->high, /* matters, as ndirty does, only to a heap that gives pages back */
        .live_granules = s->live_granules,
    };
    h->spans.chunks = &h->chunks; /* object_max is 0: there are none */
    if (header_has_guards(m))
        (void)load_guard(m, &h->chunks.ledger);
}

void stored_save(mem_heap *m, const struct heap *h)
{
    const struct ledger *l = &h->chunks.ledger;
    const struct tree *tree = l->b.tree;
    assert(!m->has_spans && h->chunks.region.base == header_region(m).base);
    assert(tree[0].height <= UINT8_MAX && tree[1].height <= UINT8_MAX);
    assert((l->guard.page > 0) == header_has_guards(m));
    *(struct stored *)header_at(m, m->state) = (struct stored){
        .nwords = {tree[0].nwords, tree[1].nwords},
        .root = {tree[0].root, tree[1].root},
        .height = {(uint8_t)tree[0].height, (uint8_t)tree[1].height},
        .nnodes = l->b.nnodes,
        .top = l->b.top,
        .sum = l->b.sum,
        .high = l->high,
        .live_granules = l->live_granules,
    };
    if (header_has_guards(m))
        guard_save(l, stored_guard_of(m));
}

/* --- lookups ----------------------------------------------------------------------- */

/* Reads what a lookup needs of the numbers, each of them once, as a call may be changing it. If one
 * is, what was read may make no sense. lookup_ledger does not rely on that [LK2], and its result is
 * believed only if `changes` is as it was. */
RACING static enum heap_result lookup_stored(const mem_heap *m, size_t offset,
                                             struct lookup_result *p)
{
    const struct stored *s = header_at(m, m->state);
    struct region r = header_region(m);
    uint32_t seen = changes_seen(&m->changes);
    struct ledger l = {.nbytes = r.nbytes};
    l.b.end = r.base + r.nbytes;
    l.b.room = r.nbytes;
    l.b.nnodes = NOW(s->nnodes);
    l.b.top = NOW(s->top);
    l.b.tree[BY_ADDRESS].nwords = NOW(s->nwords[BY_ADDRESS]);
    l.b.tree[BY_ADDRESS].root = NOW(s->root[BY_ADDRESS]);
    l.b.tree[BY_ADDRESS].height = NOW(s->height[BY_ADDRESS]);
    l.high = NOW(s->high);
    if (header_has_guards(m) && !load_guard(m, &l))
        return is_unchanged(&m->changes, seen) ? HEAP_DAMAGED : HEAP_CHANGING;
    enum heap_result what = lookup_ledger(&l, r.base, offset, p);
    return is_unchanged(&m->changes, seen) ? what : HEAP_CHANGING;
}

/* The header is the heap's, but in no region. So is the struct heap at the begin of each further
 * part, of which lookup_heap says that it is outside the part's region. */
RACING enum heap_result header_lookup(const mem_heap *m, const void *address,
                                      struct lookup_result *p)
{
    size_t offset = (uintptr_t)address - (uintptr_t)m;
    if (offset >= m->nbytes)
        return HEAP_NOT_OURS;
    if (offset < header_bytes(m))
        return HEAP_NO_OBJECT;
    if (!m->has_spans)
        return lookup_stored(m, offset - header_bytes(m), p);
    struct heap view;
    size_t part = parts_index(m, address);
    const struct heap *h = parts_heap(m, part, &view);
    if (!parts_is_in_place(m, part, h))
        return HEAP_DAMAGED;
    enum heap_result what = lookup_heap(h, address, p);
    return what == HEAP_NOT_OURS ? HEAP_NO_OBJECT : what;
}

/* SPDX-License-Identifier: MIT
 *
 * peek.h - what an address is, told without the lock of the heap.
 *
 *   LK1  it writes nothing and waits for nobody, so a signal handler may ask, whatever it
 *       has interrupted;
 *   LK2  what it reads may be changing, or be damaged: each index and each pointer is
 *       compared with the region before it is followed, each loop has an end;
 *   LK3  what was read is believed if the two counts of changes, of spans and of the
 *       ledger, are as they were before. Slots come and go without a change of either:
 *       there the state is the truth, as for all others without the lock (cache.h).
 */
#ifndef PEEK_H
#define PEEK_H

#include "core/heap.h"
#include "heaps/readers.h"

struct lookup_result {
    unsigned char *start;
    size_t size; /* of an object, as asked for; of free memory, all of the chunk or slot */
};

/* What an address is; the counts of changes have been looked at. */
enum heap_result lookup_heap(const struct heap *h, const void *address, struct lookup_result *p);

/* The same for what has no spans; `base` is where its region begins. */
enum heap_result lookup_ledger(const struct ledger *l, unsigned char *base, size_t offset,
                               struct lookup_result *p);

/* --- slots ------------------------------------------------------------------------ */

RACING static inline uint32_t lookup_slack(const unsigned char *states, uint32_t nslots,
                                           uint32_t index, uint32_t state)
{
    if (!state_is_far(state))
        return state_slack_near(state);
    return NOW(*far_slack((unsigned char *)(uintptr_t)states, nslots, index));
}

/* In a span whose entry and first byte these are. The block may be anything, and has to
 * lie in the region. */
RACING static inline enum heap_result lookup_in_span(const struct region *r,
                                                     const struct span *span, uintptr_t first,
                                                     uintptr_t address, struct lookup_result *p)
{
    uint32_t slot_bytes = NOW(span->slot_bytes), into = (uint32_t)(address - first);
    if (slot_bytes == 0)
        return HEAP_NOT_A_SLOT;
    uint32_t index = slot_of_inside(slot_bytes, into, NOW(span->reciprocal));
    uint32_t nslots = NOW(span->nslots);
    const unsigned char *states = NOW(span->states);
    size_t states_at = (uintptr_t)states - (uintptr_t)r->base;
    if (index >= nslots || NOW(span->purpose) != FOR_OBJECTS)
        return HEAP_NO_OBJECT;
    size_t nfar = slot_bytes > ALL_NEAR_MAX ? nslots : 0;
    if (states_at >= r->nbytes ||
        r->nbytes - states_at < far_offset(nslots) + nfar * sizeof(uint16_t))
        return HEAP_DAMAGED;
    uint32_t state = __atomic_load_n(states + index, __ATOMIC_ACQUIRE);
    uint32_t within = into - index * slot_bytes;
    p->start = (unsigned char *)address - within;
    p->size = slot_bytes;
    if (!state_is_object(state))
        return HEAP_FREE;
    p->size -= lookup_slack(states, nslots, index, state);
    return within < p->size || within == 0 ? HEAP_OK : HEAP_NO_OBJECT;
}

/* What has to be known of a heap to find objects in its slots. False: it has no spans, or
 * is changing. */
bool lookup_view_open(const struct heap *h, struct lookup_view *view);

/* The shortest way: an object in a slot of at most 8 KiB whose slack takes one byte. False:
 * it is none, or is not seen to be one. Reads only from map and region. */
RACING static inline bool lookup_object(const struct lookup_view *v, uintptr_t address,
                                        struct lookup_result *p)
{
    size_t offset;
    if (!slot_view_has(&v->slots, address, &offset))
        return false;
    const struct span *span = &v->slots.pagemap[offset >> v->shift];
    uint32_t reciprocal = __atomic_load_n(&span->reciprocal_published, __ATOMIC_ACQUIRE);
    const unsigned char *states = NOW(span->states);
    uint32_t slot_bytes = NOW(span->slot_bytes);
    if (reciprocal == 0 || (uintptr_t)states - v->slots.base >= v->slots.nbytes)
        return false;
    struct slot_quotient q = slot_divide((uint32_t)offset & v->mask, reciprocal);
    uint32_t state = __atomic_load_n(states + q.index, __ATOMIC_ACQUIRE);
    size_t within = (uint64_t)q.fraction * slot_bytes >> 32;
    p->start = (unsigned char *)address - within;
    p->size = slot_bytes - state_slack_near(state);
    if (!state_is_near(state) || within >= p->size)
        return false;
    if (!UNDER_TSAN)
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return NOW(*v->changes) == v->seen;
}

/* NO_SLOT: in no span, or not in the region. */
RACING static inline enum heap_result lookup_slot(const struct heap *h, uintptr_t address,
                                                  struct lookup_result *p)
{
    const struct region *r = &h->chunks.region;
    const struct spans *s = &h->spans;
    uint32_t seen = changes_seen(&s->changes);
    if (address - (uintptr_t)r->base >= r->nbytes || NOW(s->nheld) == 0)
        return HEAP_NOT_A_SLOT;
    uintptr_t number = address >> s->slice_shift, from = (uintptr_t)r->base >> s->slice_shift;
    size_t slice = number - from, pagemap = (size_t)NOW(s->pagemap) * GRANULE_BYTES + QUEUES_BYTES;
    if (slice >= NOW(s->nclear) || pagemap + (slice + 1) * sizeof(struct span) > r->nbytes)
        return is_unchanged(&s->changes, seen) ? HEAP_NOT_A_SLOT : HEAP_CHANGING;
    const struct span *span = (const struct span *)(const void *)(r->base + pagemap) + slice;
    uint32_t back = NOW(span->back);
    if (back > slice)
        return is_unchanged(&s->changes, seen) ? HEAP_DAMAGED : HEAP_CHANGING;
    uintptr_t first = (number - back) << s->slice_shift;
    enum heap_result what = lookup_in_span(r, span - back, first, address, p);
    return is_unchanged(&s->changes, seen) ? what : HEAP_CHANGING;
}

#endif

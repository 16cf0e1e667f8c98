/* SPDX-License-Identifier: MIT
 *
 * quick.h - the short way to small objects in a heap of one's own.
 *
 *     window[class] ---> 64 states of a span that the heap keeps at hand
 *                        mask: those that were found to be 0
 *
 * It is what a cache is to a thread (cache.h), for who has the heap's lock or is its only
 * thread: so nobody is waited for, and nothing is atomic but for those who only look.
 *
 *   HC1  a span in a window is OWNED [SP4]: nobody else takes its slots, and a bit in the
 *       mask stays free until it is taken here [SP3];
 *   HC2  the states alone say what is an object. Who walks, finds, or frees by any address
 *       knows nothing of windows;
 *   HC3  an owned span keeps its units. Who wants to see all free memory in one piece, or
 *       is short of it, has the windows closed before;
 *   HC4  there are units in the map for as long as `nslices` says so: while a window is open.
 */
#ifndef QUICK_H
#define QUICK_H

#include "core/heap.h"

struct hcache_window {
    struct window at;
    uint32_t slot_bytes;
    uint32_t slice; /* 0: there is none */
};

enum { HCACHE_MAX = 2048 };

struct hcache {
    uintptr_t base; /* of the first unit */
    struct span *pagemap;
    uint32_t nslices; /* 0: no window is open */
    uint16_t slice_shift, nwindows;
    uint8_t by_size[HCACHE_MAX / GRANULE_BYTES + 1]; /* the class for so many granules */
    struct hcache_window window[];
};

/* What it needs in a heap of nbytes. */
size_t hcache_bytes(size_t nbytes);

/* In a new heap, in so many bytes. */
void hcache_open(struct hcache *q, const struct heap *h, size_t nbytes);

/* All spans are as if there was no short way, and those that are empty go. */
void hcache_close(struct hcache *q, struct heap *h);

/* Does each window have a span, and HC4 hold? */
bool hcache_is_valid(const struct hcache *q, const struct heap *h);

/* An object of at most HCACHE_MAX bytes whose slack is told by its state. NULL: none is at hand. */
static inline void *hcache_take(struct hcache *q, size_t nbytes)
{
    if (nbytes > HCACHE_MAX)
        return NULL;
    struct hcache_window *w = &q->window[q->by_size[(nbytes + GRANULE_BYTES - 1) / GRANULE_BYTES]];
    uint32_t slack = w->slot_bytes - (uint32_t)nbytes;
    uint64_t mask = w->at.mask;
    if (mask == 0 || slack > SLACK_NEAR_MAX)
        return NULL;
    size_t i = lowest_bit(mask);
    w->at.mask = mask & (mask - 1);
    __atomic_store_n(w->at.states + i, (uint8_t)(slack + 1), __ATOMIC_RELEASE);
    return w->at.base + i * w->slot_bytes;
}

/* The same of any size, and if windows have to be moved for it. NULL: not in that way. */
void *hcache_take_slow(struct hcache *q, struct heap *h, size_t nbytes);

/* The slot of an object whose slack is told by its state. */
struct hcache_slot {
    struct slot_ref ref;
    size_t nbytes; /* of the object */
};

/* Of the one that begins at `address`; false: none is seen to do so. */
static inline bool hcache_find(const struct hcache *q, const void *address, struct hcache_slot *at)
{
    size_t offset = (uintptr_t)address - q->base, slice = offset >> q->slice_shift;
    if (slice >= q->nslices) /* HC4 */
        return false;
    uint32_t into = (uint32_t)(offset - (slice << q->slice_shift));
    struct span *span = &q->pagemap[slice];
    if (!slot_of_start(span, into, span->reciprocal_published, &at->ref))
        return false;
    uint32_t state = *at->ref.state;
    at->nbytes = span->slot_bytes - state_slack_near(state);
    return state_is_near(state);
}

/* Frees the object that begins at `address`, and says how large it was; false: none is seen to do
 * so. `*recount`: now heap_refile_locked is due. */
static inline bool hcache_free(struct hcache *q, const void *address, size_t *nbytes, bool *refile)
{
    struct hcache_slot at;
    if (!hcache_find(q, address, &at))
        return false;
    *nbytes = at.nbytes;
    *refile = !count_down(&at.ref.span->countdown);
    __atomic_store_n(at.ref.state, 0, __ATOMIC_RELEASE);
    struct hcache_window *w = &q->window[at.ref.span->sizeclass];
    size_t i = (size_t)(at.ref.state - w->at.states);
    if (i < STATES_AT_ONCE)
        w->at.mask |= (uint64_t)1 << i;
    return true;
}

/* Gives it another size where it is, and says what it had; false: not in this way. */
static inline bool hcache_resize(const struct hcache *q, const void *address, size_t nbytes,
                                 size_t *old)
{
    struct hcache_slot at;
    if (!hcache_find(q, address, &at) || !slot_suits(at.ref.span->slot_bytes, at.nbytes, nbytes))
        return false;
    size_t slack = at.ref.span->slot_bytes - nbytes;
    *old = at.nbytes;
    if (slack > SLACK_NEAR_MAX)
        return false;
    __atomic_store_n(at.ref.state, (uint8_t)(slack + 1), __ATOMIC_RELEASE);
    return true;
}

#endif

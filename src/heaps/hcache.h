/* SPDX-License-Identifier: MIT
 *
 * hcache.h - a heap cache: the fast path to small objects in a heap of the caller's own.
 *
 *     window[class] ---> 64 states of a span that the heap owns
 *                        mask: those that are known to be 0
 *
 * It is to a heap what a thread cache is to a thread (slots/tcache.h). The caller of each function
 * holds the heap's lock or is its only thread. So nothing waits for readers, and stores are atomic
 * only for lookups without the lock.
 *
 *   HC1  the span of a window is OWNED [SP4], and only here are slots taken of it, so a bit in the
 *        mask stays true until the slot is taken [WI1];
 *   HC2  the states alone say what is an object. Walks, lookups, and frees of any address know
 *        nothing of windows;
 *   HC3  an owned span keeps its slices. Before a caller needs all free memory in one piece, or is
 *        told that there is no space, the windows are closed;
 *   HC4  nslices > 0 while a window is open; then the page map is there, and has nslices entries.
 *
 * Heaps that are attached to again have a heap cache in their header: its layout is part of the
 * stored format (header.c, VERSION).
 */
#ifndef HCACHE_H
#define HCACHE_H

#include "core/heap.h"

/* What a heap has of a class. */
struct hcache_window {
    struct window at;
    uint32_t slot_bytes;
    uint32_t slice; /* the span's; NO_SLICE: the window is closed */
};

/* The largest object of the fast path, in bytes. */
enum { HCACHE_MAX = 2048 };

/* Lies in the heap's header. */
struct hcache {
    uintptr_t base;       /* where the first slice begins */
    struct span *pagemap; /* its entry */
    uint32_t nslices;     /* entries of the page map; 0: no window is open [HC4] */
    uint16_t slice_shift, nwindows;
    uint8_t by_size[HCACHE_MAX / GRANULE_BYTES + 1]; /* granules to class */
    struct hcache_window window[];
};

/* Returns the bytes of a heap cache for a heap of nbytes. */
size_t hcache_bytes(size_t nbytes);

/* Makes a heap cache of nbytes for a new heap. No window is open. */
void hcache_open(struct hcache *q, const struct heap *h, size_t nbytes);

/* Closes all windows: their spans are counted and have no owner. Gives all empty spans back to
 * the ledger. */
void hcache_close(struct hcache *q, struct heap *h);

/* Returns whether each window has an OWNED span of its class, each OWNED span has a window, each
 * bit in a mask is a free slot, and HC4 holds; whatever was written over the heap cache, which has
 * nbytes. The spans of the heap were checked before (check_fault_locked). */
bool hcache_is_valid(const struct hcache *q, const struct heap *h, size_t nbytes);

/* Takes an object of at most HCACHE_MAX bytes whose slack fits into its state, from the window
 * of its class. Returns NULL if the window knows of no free slot: then hcache_take_slow is next. */
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
    assert(__atomic_load_n(w->at.states + i, __ATOMIC_RELAXED) == 0); /* WI1 */
    w->at.mask = mask & (mask - 1);
    __atomic_store_n(w->at.states + i, (uint8_t)(slack + 1), __ATOMIC_RELEASE);
    return w->at.base + i * w->slot_bytes;
}

/* Takes an object of any size that fits into a small slot, and moves the window, or gives it
 * another span, if it has to. Returns NULL if that does not help: then the heap is next. */
void *hcache_take_slow(struct hcache *q, struct heap *h, size_t nbytes);

/* The slot of an object whose slack fits into its state. */
struct hcache_slot {
    struct slot_ref ref;
    size_t nbytes; /* of the object */
};

/* Finds the object that begins at an address. Returns false if none can be seen in this way. */
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

/* Frees the object that begins at an address, and stores how large it was. Returns false if none
 * can be seen in this way. Sets *refile if the countdown has ended: then heap_refile_locked is
 * due.
 *
 * The window learns of the slot if it is one of its 64. (State arrays are multiples of 64 bytes
 * apart, so no other span has a state within 64 bytes of the window's first.) */
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

/* Gives the object that begins at an address another size where it is, if the new slack fits
 * into the state, and stores the size that it had. Returns false, and changes nothing, if that
 * is not possible. */
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

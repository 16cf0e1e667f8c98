/* SPDX-License-Identifier: MIT
 *
 * lookup.h - what an address is in a heap, told without the heap's lock.
 *
 *     lookup_object    an object in a small slot, by a view that the thread has kept
 *     lookup_heap      lookup_slot: is it in a span; if not, lookup_ledger: in which chunk
 *     lookup_ledger    of a small heap, which has no spans
 *
 *   LK1  a lookup writes nothing and waits for no thread, so that a signal handler may make one,
 *        whatever it has interrupted;
 *   LK2  what a lookup reads may be changing, or be damaged: each index and each pointer is
 *        compared with the region before it is followed, and each loop has an end;
 *   LK3  what was read is believed if the two sequence counts, of spans and of the ledger, are as
 *        they were before; else the result is HEAP_CHANGING. Slots come and go without a change of
 *        either: there the state is the truth, as in slots/tcache.h.
 */
#ifndef LOOKUP_H
#define LOOKUP_H

#include "base/bits.h"
#include "base/seqcount.h"
#include "core/heap.h"
#include "ledger/ledger.h"
#include "slots/slot.h"
#include "slots/state.h"

struct lookup_result {
    unsigned char *start;
    size_t size; /* of an object, as asked for; of free memory, all of the chunk or slot */
    size_t room; /* of the chunk or slot; set by lookup_heap and lookup_ledger only */
};

/* What an address is in a heap: HEAP_OK and HEAP_FREE with *p; HEAP_NO_OBJECT with the object whose
 * slack the address is in, or with a start of NULL; or HEAP_NOT_OURS, HEAP_DAMAGED or
 * HEAP_CHANGING, and *p is undefined. HEAP_OK is said of every byte of an object. */
enum heap_result lookup_heap(const struct heap *h, const void *address, struct lookup_result *p);

/* What an address is that lies `offset` bytes into a region without spans, which begins at `base`.
 * Results as of lookup_heap. */
enum heap_result lookup_ledger(const struct ledger *l, unsigned char *base, size_t offset,
                               struct lookup_result *p);

/* --- slots ------------------------------------------------------------------------ */

/* What has to be known of a heap to find objects in its slots. A thread keeps that of the heap in
 * which its last lookup found something, if no other heap lies in an object there. */
struct lookup_view {
    uint32_t mask, shift;    /* of a slice: its bytes less one; as a power of two */
    uint32_t seen;           /* the sequence count of the heap's spans when the view was made, */
    const uint32_t *changes; /* and where that is */
    struct slot_view slots;
    void *owner; /* the mem_heap; NULL: it is a foreign heap */
};

/* Stores what has to be known of a heap to find objects in its slots (the owner aside). Returns
 * false if the heap has no spans, or they are changing. */
bool lookup_view_open(const struct heap *h, struct lookup_view *view);

/* Finds an object in a slot of at most 8 KiB whose state tells its slack. Returns false if the
 * address is in none, or is not seen to be. Reads nothing but the page map and the region. */
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
    uint32_t into = (uint32_t)offset & v->mask, index = slot_divide(into, reciprocal).index;
    uint32_t state = __atomic_load_n(states + index, __ATOMIC_ACQUIRE);
    uint32_t within = into - index * slot_bytes;
    p->start = (unsigned char *)address - within;
    p->size = slot_bytes - state_slack_near(state);
    if (!state_is_near(state) || within >= p->size)
        return false;
    if (!UNDER_TSAN)
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return NOW(*v->changes) == v->seen;
}

#endif

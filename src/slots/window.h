/* SPDX-License-Identifier: MIT
 *
 * window.h - 64 slots of a span that has an owner, and which of them the owner knows to be free.
 *
 *     states of the span    [ . . . . . . . . | 1 0 7 0 0 3 ... | . . . . . . . . ]
 *     window                                  ^ 64 states, slots from `base` on
 *     mask                                      0 1 0 1 1 0 ...
 *
 *   WI1  a bit in the mask is a slot that the owner has seen free, or has freed itself. Only the
 *        owner takes slots of its span [SP3], so the slot stays free until the owner takes the bit
 *        out and sets the state. A bit that is not set says nothing: the slot may be free by now;
 *   WI2  all slots of a window are of one span, which is OWNED and not parked. The window begins at
 *        a multiple of 64 slots. A class_window without a span has no bit and no states;
 *   WI3  a class_window also remembers spans that the thread has used up and parked. Another thread
 *        may have claimed some of them meanwhile [SP6];
 *   WI4  slots come into use a few at a time, since the first write to a page costs memory and a
 *        fault. A window is hot if its thread looks for free slots of its class again and again,
 *        with few looks for other classes in between. Then all 64 come into use at once, so that
 *        it looks less often; so do they if the thread has used up a span of the class. If there
 *        are other threads, each of which has pages of its own, fewer such looks keep it cold;
 *   WI5  a window is patient if the heap has one thread, or if its thread has missed two parked
 *        spans of it: it wanted to go on with them, and they had been claimed. The spans that it
 *        parks from then on may be claimed only when most of their objects were freed. Otherwise
 *        threads that replace objects all the time would take each other's spans again and again:
 *        each time under the lock, and then they share the cache lines of the states.
 *
 * A thread cache (tcache.h) has a class_window for each class; a heap cache (heaps/hcache.h) has
 * windows of its own kind, which begin with the same struct. The idea is Go's allocCache.
 */
#ifndef WINDOW_H
#define WINDOW_H

#include "slots/spans.h"

/* The 64 slots, or as many as the span has from there on. */
struct window {
    uint64_t mask;         /* bit i: slot i is known to be free [WI1] */
    unsigned char *states; /* the state of the first slot; NULL: there is no span */
    unsigned char *base;   /* where the first slot begins */
};

/* How many of n slots have to be free for a window there to be worth the trouble: an eighth of
 * them, and at least four, but never more than half; or any slot. */
enum window_part { WINDOW_EIGHTH, WINDOW_ANY };

/* Returns whether enough bits of the mask are set for the window to be worth the trouble, where the
 * span has n slots from there on. */
static inline bool window_is_enough(uint64_t mask, uint32_t n, enum window_part part)
{
    enum { FEW = 4, PART = 8 };
    n = least(n, STATES_AT_ONCE);
    uint32_t wanted = n > FEW * PART ? n / PART : least(FEW, n / 2);
    return mask != 0 && (part == WINDOW_ANY || count_bits(mask) >= wanted);
}

/* Reads the states, of which the span has n from there on, into the mask. Returns whether enough
 * are free. The caller is the owner, and a reader or the lock holder. */
static inline bool window_look(struct window *w, uint32_t n, enum window_part part)
{
    assert(n > 0);
    w->mask = free_slots(w->states, n);
    return window_is_enough(w->mask, n, part);
}

/* Moves a window to other slots of its span. The mask is not changed. */
static inline void window_step(struct window *w, ptrdiff_t nslots, size_t slot_bytes)
{
    w->states += nslots;
    w->base += nslots * (ptrdiff_t)slot_bytes;
}

/* How many spans a class_window remembers. */
enum { NPARKED = 16 };

/* The heat from which a window is hot [WI4], and how many claimed spans make it patient [WI5]. */
enum { WINDOW_HOT = 4, WINDOW_PATIENT = 2 };

/* What a thread has of a class. Only its thread uses it, as a reader; or the lock holder, when
 * the thread has been parted from its cache. */
struct class_window {
    struct window at;
    uint16_t *far; /* the far slack of the first slot, in spans that have it [ST4] */
    size_t slot_bytes;
    uint32_t full;    /* slot_bytes + 1: less nbytes, it is the state of an object of nbytes */
    uint32_t first;   /* the index of the first slot in the span */
    uint32_t nslots;  /* the number of slots of the span */
    uint32_t used;    /* slots below were in a window before */
    uint32_t slice;   /* the first one of the span; NO_SLICE: there is none */
    uint16_t wanted;  /* how often a large-slot span was wished for in vain */
    uint16_t nowhere; /* written in place of far slack, never read */
    uint32_t last;    /* the large slot taken last */
    uint32_t looked;  /* which look of the thread for free slots was the last one here */
    uint16_t heat;    /* how many looks here were each soon after the one before [WI4] */
    uint16_t oldest, nparked; /* of `parked`, a ring */
    bool is_alone;            /* the heap had one thread when this got its last span */
    uint8_t nmissed;          /* parked spans that it found claimed, up to WINDOW_PATIENT [WI5] */
    uint32_t parked[NPARKED]; /* the first slices of the parked spans [WI3] */
};

/* Moves the window to the slots from `first` on, a multiple of 64. The mask is not changed. */
static inline void window_move(struct class_window *w, uint32_t first)
{
    assert(first % STATES_AT_ONCE == 0 && first < w->nslots);
    ptrdiff_t step = (ptrdiff_t)first - (ptrdiff_t)w->first;
    window_step(&w->at, step, w->slot_bytes);
    w->far += step;
    w->first = first;
}

/* Moves the window to the next 64 slots of those that came into use, or to the first ones. */
static inline void window_move_on(struct class_window *w)
{
    window_move(w, w->first + STATES_AT_ONCE < w->used ? w->first + STATES_AT_ONCE : 0);
}

/* Looks at the slots of the window again, then at the next 64: here most looks end. Returns false,
 * with no bit in the mask, if there is no span, if not all 64 are in use yet, or if not enough are
 * free: then window_find is next. */
static inline bool window_look_near(struct class_window *w)
{
    if (w->slice == NO_SLICE)
        return false;
    for (int n = 0; n < 2 && w->used - w->first >= STATES_AT_ONCE; n++) {
        if (window_look(&w->at, STATES_AT_ONCE, WINDOW_EIGHTH))
            return true;
        window_move_on(w);
    }
    w->at.mask = 0;
    return false;
}

/* Notes that the thread looks for free slots of the class, for the `now`th time in all
 * classes [WI4]. */
static inline void window_warm(struct class_window *w, uint32_t now)
{
    enum { SOON = 8, SOON_OF_SEVERAL = 4 };
    uint32_t soon = w->is_alone ? SOON : SOON_OF_SEVERAL;
    w->heat = now - w->looked <= soon ? (uint16_t)least(w->heat + 1u, WINDOW_HOT) : 0;
    w->looked = now;
}

/* Finds 64 slots of the span of which enough are free, best those that were used just now, and
 * reads them into the mask. Returns false if there are none, and then the mask is 0, and the part
 * of free slots in the whole span is as small. */
bool window_find(struct class_window *w, const struct slot_view *v, enum window_part part);

/* Puts the window on a span that the thread owns now. It had no span; window_find is next. */
void window_open(struct class_window *w, const struct slot_view *v, uint32_t slice);

/* Parks the span, if there is one; there is room to remember it. */
void window_park(struct class_window *w, const struct slot_view *v);

/* Gives up all spans, and frees the window. The caller holds the lock. */
void window_close(struct spans *s, struct class_window *w);

/* Gives up the span of the window if all of its slots are free and small. The caller is the thread,
 * and holds the lock. */
void window_release_if_empty(struct spans *s, struct class_window *w);

/* Gives up the span that was parked first, if as many are remembered as can be. The caller holds
 * the lock. */
void window_make_room_to_park(struct spans *s, struct class_window *w);

/* Takes a slot for an object of nbytes: from the mask, else elsewhere in the span, else from a
 * parked span. Returns false if hardly a slot of them is free. The first is for classes up to
 * TCACHE_SMALL_MAX (tcache.h), the second for larger ones, which also stores whether the slot is
 * known to be zero, unless `clean` is NULL. */
bool window_take_or_change(struct class_window *w, const struct slot_view *v, size_t nbytes,
                           void **object);
bool window_take_large_or_change(struct class_window *w, const struct slot_view *v, size_t nbytes,
                                 void **object, bool *clean);

/* Takes the lowest slot out of the mask, which is not 0 and was read just before. Returns which
 * slot of the window it is; the caller is about to set its state. */
static inline size_t window_take_bit(struct class_window *w, uint64_t mask)
{
    assert(mask != 0 && mask == w->at.mask);
    size_t i = lowest_bit(mask);
    assert(__atomic_load_n(w->at.states + i, __ATOMIC_RELAXED) == 0); /* WI1 */
    w->at.mask = mask & (mask - 1);
    return i;
}

/* Takes the lowest slot of the mask and gives it that state, which says all of the slack. Returns
 * the object. */
static inline void *window_take(struct class_window *w, uint64_t mask, uint8_t state)
{
    assert(state != 0 && state != STATE_FAR);
    size_t i = window_take_bit(w, mask);
    __atomic_store_n(w->at.states + i, state, __ATOMIC_RELAXED);
    return w->at.base + i * w->slot_bytes;
}

/* Returns where the far slack of slot i is stored, or `nowhere` if the slack is not far. Which
 * of the two is hard to predict from sizes, so no branch depends on it. */
static inline uint16_t *window_slack(struct class_window *w, size_t i, bool is_far)
{
    uintptr_t nowhere = (uintptr_t)&w->nowhere, there = (uintptr_t)(w->far + i);
    return (uint16_t *)(nowhere + ((there - nowhere) & -(uintptr_t)is_far));
}

/* Takes the lowest slot of the mask for nbytes, whatever the slack is that the states can say. A
 * lookup that reads the state by then reads this slack, and not that of an earlier object. */
static inline void *window_take_any(struct class_window *w, uint64_t mask, size_t nbytes)
{
    assert(nbytes <= w->slot_bytes);
    uint32_t slack = w->full - 1 - (uint32_t)nbytes;
    size_t i = window_take_bit(w, mask);
    uint16_t *place = window_slack(w, i, slack > SLACK_NEAR_MAX);
    __atomic_store_n(place, (uint16_t)slack, __ATOMIC_RELAXED);
    __atomic_store_n(w->at.states + i, (uint8_t)least(slack + 1, STATE_FAR), __ATOMIC_RELEASE);
    return w->at.base + i * w->slot_bytes;
}

/* Takes slot i of a span whose slack is always far, so that no slot that is taken is clean any
 * longer [ST5]. `clean` is NULL, or the place to store whether it was. Returns the object. */
static inline void *window_take_far(struct class_window *w, size_t i, size_t nbytes, bool *clean)
{
    assert(i < w->nslots && nbytes <= w->slot_bytes);
    assert(__atomic_load_n(w->at.states + i, __ATOMIC_RELAXED) == 0); /* WI1 */
    if (clean != NULL)
        *clean = far_is_clean(w->far + i);
    __atomic_store_n(w->far + i, (uint16_t)(w->slot_bytes - nbytes), __ATOMIC_RELAXED);
    __atomic_store_n(w->at.states + i, (uint8_t)STATE_FAR, __ATOMIC_RELEASE);
    return w->at.base + i * w->slot_bytes;
}

/* Takes a large slot, of which a span has at most 64, so all are in the window. The slot that
 * was taken last comes first, if it is free again, since it is in the processor's cache; then
 * the lowest, since it has its pages. Returns false if the window knows of no free slot. */
static inline bool window_take_large(struct class_window *w, size_t nbytes, void **object,
                                     bool *clean)
{
    size_t i = w->last;
    if (w->slice == 0)
        return false;
    if (__atomic_load_n(w->at.states + i, __ATOMIC_ACQUIRE) != 0) {
        if (w->at.mask == 0)
            return false;
        w->last = (uint32_t)(i = lowest_bit(w->at.mask));
    }
    w->at.mask &= ~((uint64_t)1 << i);
    *object = window_take_far(w, i, nbytes, clean);
    return true;
}

/* Notes that the thread of the window frees slot i of the large-slot span with these states. If the
 * window is on that span, its mask gets the bit at once: to read the states soon after they were
 * written would wait for these stores, and for all before them. */
static inline void window_note_freed(struct class_window *w, const unsigned char *states,
                                     uint32_t i)
{
    bool is_here = w->at.states == states; /* and no states are NULL */
    w->at.mask |= (uint64_t)is_here << i;
}

/* Takes the lowest slot of a large-slot span. Whether the one that was taken last is free again is
 * not asked: that is hard to predict, and the mask knows what the owner has freed. Returns false if
 * the window knows of no free slot. */
static inline bool window_take_wide(struct class_window *w, size_t nbytes, void **object)
{
    uint64_t mask = w->at.mask;
    if (mask == 0)
        return false;
    *object = window_take_far(w, window_take_bit(w, mask), nbytes, NULL);
    return true;
}

#endif

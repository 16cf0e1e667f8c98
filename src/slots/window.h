/* SPDX-License-Identifier: MIT
 *
 * window.h - 64 slots of a span, and which of them are known to be free.
 */
#ifndef WINDOW_H
#define WINDOW_H

#include "slots/spans.h"

/* 64 slots of a span, or as many as it has from there on. */
struct window {
    uint64_t mask;         /* slots known to be free */
    unsigned char *states; /* of the first of the slots; all within one span */
    unsigned char *base;   /* that slot */
};

/* How many of n slots have to be free for the trouble: a part of them, 2^-part. */
enum window_part { WINDOW_EIGHTH = 3, WINDOW_ANY = 7 };

static inline bool window_is_enough(uint64_t mask, uint32_t n, enum window_part part)
{
    return mask != 0 && count_bits(mask) >= least(n, STATES_AT_ONCE) >> part;
}

/* Which of the slots are free, of which the span has n from there on: and are they enough? */
static inline bool window_look(struct window *w, uint32_t n, enum window_part part)
{
    w->mask = free_slots(w->states, n);
    return window_is_enough(w->mask, n, part);
}

/* To other slots of the span. */
static inline void window_step(struct window *w, ptrdiff_t nslots, size_t slot_bytes)
{
    w->states += nslots;
    w->base += nslots * (ptrdiff_t)slot_bytes;
}

enum { NPARKED = 16 };

/* What a thread has of a class. */
struct class_window {
    struct window at;
    uint16_t *far; /* its slack, in slots that have such */
    size_t slot_bytes;
    uint32_t full;    /* the state of an object without a byte */
    uint32_t first;   /* the number of the first slot in the span */
    uint32_t nslots;  /* of the span */
    uint32_t used;    /* the first so many were in a window before */
    uint32_t slice;   /* 0: there is none */
    uint16_t wanted;  /* so often there was none, of wide spans */
    uint16_t nowhere; /* is written and never read */
    uint32_t last;    /* of large slots, the one taken last */
    uint16_t oldest, nparked;
    bool is_alone;            /* its thread, when it last got a span */
    uint32_t parked[NPARKED]; /* units, a ring; some may be others' by now */
};

bool window_scan(struct class_window *w, const struct slot_view *v, enum window_part part);
void window_open(struct class_window *w, const struct slot_view *v, uint32_t slice);
void window_park(struct class_window *w, const struct slot_view *v);
void window_close(struct spans *s, struct class_window *w);
void window_make_room_to_park(struct spans *s, struct class_window *w);
bool window_take_or_change(struct class_window *w, const struct slot_view *v, size_t nbytes,
                           void **object);
bool window_take_large_or_change(struct class_window *w, const struct slot_view *v, size_t nbytes,
                                 void **object);

/* The lowest free slot. The owner's. */
static inline void *window_take(struct class_window *w, uint64_t mask, uint32_t state)
{
    size_t i = lowest_bit(mask);
    w->at.mask = mask & (mask - 1);
    __atomic_store_n(w->at.states + i, (uint8_t)state, __ATOMIC_RELAXED);
    return w->at.base + i * w->slot_bytes;
}

/* Where the slack of a slot is written: if it is not far, nowhere. Sizes are hard to foretell,
 * so that no branch depends on them. */
static inline uint16_t *window_slack(struct class_window *w, size_t i, bool is_far)
{
    uintptr_t nowhere = (uintptr_t)&w->nowhere, there = (uintptr_t)(w->far + i);
    return (uint16_t *)(nowhere + ((there - nowhere) & -(uintptr_t)is_far));
}

/* The same for any slack that such a slot can tell. */
static inline void *window_take_any(struct class_window *w, uint64_t mask, size_t nbytes)
{
    uint32_t slack = w->full - 1 - (uint32_t)nbytes;
    uint16_t *place = window_slack(w, lowest_bit(mask), slack > SLACK_NEAR_MAX);
    __atomic_store_n(place, (uint16_t)slack, __ATOMIC_RELAXED);
    return window_take(w, mask, least(slack + 1, STATE_FAR));
}

/* Large slots, of which a span has no more than 64: the one taken last, if it is free again,
 * since it is in the processor's cache; else the lowest, since it has its pages. Their slack
 * is always told behind the states. */
static inline bool window_take_large(struct class_window *w, size_t nbytes, void **object)
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
    __atomic_store_n(w->far + i, (uint16_t)(w->slot_bytes - nbytes), __ATOMIC_RELAXED);
    __atomic_store_n(w->at.states + i, (uint8_t)STATE_FAR, __ATOMIC_RELEASE);
    *object = w->at.base + i * w->slot_bytes;
    return true;
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * window.c - moves a window over the slots of a span, and from span to span.
 * Invariants: window.h.
 */
#include "slots/window.h"

/* Returns how many slots of the span come into use at a time, as long as no slot that was used
 * before is free [WI4]. All large slots are in one window, and each has pages of its own. */
static uint32_t window_step_of(const struct class_window *w)
{
    enum { PART = 8, LEAST = 4, LEAST_BYTES = 4096 };
    if (is_wide(w->slot_bytes))
        return w->nslots / PART;
    /* To the end of the window. */
    if (w->heat == WINDOW_HOT || w->nparked > 0)
        return STATES_AT_ONCE - w->used % STATES_AT_ONCE;
    return w->slot_bytes * LEAST > LEAST_BYTES ? LEAST : LEAST_BYTES / (uint32_t)w->slot_bytes;
}

/* Lets the next slots into the window that were never in one. Such slots mostly have no pages
 * yet, and their states are in no processor's cache, so they are looked at only when they are
 * needed. */
static void window_widen(struct class_window *w, struct span *span)
{
    assert(w->used < w->nslots);
    window_move(w, w->used / STATES_AT_ONCE * STATES_AT_ONCE);
    w->used = least(w->used + window_step_of(w), w->nslots);
    span_set_used(span, w->used);
}

/* Looks at the slots that were used before, all around from where the window is. Returns false if
 * nowhere enough are free.
 *
 * [ used ... | window | ... used ][ not used yet ... ] */
static bool window_find_used(struct class_window *w, enum window_part part)
{
    uint32_t start = w->first;
    if (w->slice == 0)
        return false;
    assert(w->first % STATES_AT_ONCE == 0 && w->used <= w->nslots); /* WI2 */
    do {
        /* Here first, then the next 64 slots, and so on until all were looked at. */
        if (window_look(&w->at, w->used - w->first, part))
            return true;
        window_move_on(w);
    } while (w->first != start);
    w->at.mask = 0;
    return false;
}

/* Looks at the slots that were never used, until enough are free. */
static bool window_find_unused(struct class_window *w, const struct slot_view *v,
                               enum window_part part)
{
    while (w->slice != 0 && w->used < w->nslots) {
        /* Another thread may have taken some of these under the lock. */
        window_widen(w, &v->pagemap[w->slice - 1]);
        if (window_look(&w->at, w->used - w->first, part))
            return true;
    }
    w->at.mask = 0;
    return false;
}

/* Returns whether more slots of the window itself are to come into use first. */
static bool window_is_to_grow(const struct class_window *w)
{
    return w->heat == WINDOW_HOT && w->used - w->first < STATES_AT_ONCE && !is_wide(w->slot_bytes);
}

/* What was used just now is in the processor's caches, so it comes first. */
bool window_find(struct class_window *w, const struct slot_view *v, enum window_part part)
{
    return (window_is_to_grow(w) && window_find_unused(w, v, part)) || window_find_used(w, part) ||
           window_find_unused(w, v, part);
}

/* Copies what the fast path needs from the span, so that it reads the window only. The mask is
 * filled by the next look. */
void window_open(struct class_window *w, const struct slot_view *v, uint32_t slice)
{
    assert(slice != NO_SLICE && w->slice == NO_SLICE); /* else a span is lost */
    struct span *span = &v->pagemap[slice - 1];
    assert(span->status == SPAN_OWNED && span->parked_by == NULL);
    w->at.states = span->states;
    w->far = far_slack(span->states, span->nslots, 0);
    w->at.base = (unsigned char *)(v->base + ((uintptr_t)(slice - 1) << SLICE_SHIFT));
    w->slot_bytes = span->slot_bytes;
    w->full = span->slot_bytes + 1;
    w->first = 0;
    w->nslots = span->nslots;
    /* A span that had an owner before goes on where that owner stopped. */
    w->used = span_used(span);
    if (w->used == 0)
        w->used = least(window_step_of(w), w->nslots);
    span_set_used(span, w->used);
    w->slice = slice;
    w->last = 0; /* of large slots the lowest comes first */
}

/* Returns the span that was parked first, or 0. */
static uint32_t parked_oldest(const struct class_window *w)
{
    return w->nparked == 0 ? 0 : w->parked[w->oldest];
}

/* Forgets the span that was parked first. */
static void parked_pop(struct class_window *w)
{
    assert(w->nparked > 0);
    w->oldest = (uint16_t)(w->oldest + 1) % NPARKED;
    w->nparked--;
}

/* Remembers a span, as the one that was parked last. There is room. */
static void parked_push(struct class_window *w, uint32_t slice)
{
    assert(w->nparked < NPARKED && slice != NO_SLICE);
    w->parked[(w->oldest + w->nparked) % NPARKED] = slice;
    w->nparked++;
}

/* Returns whether the spans that the window parks stay the thread's for longer [WI5]. */
static bool window_is_patient(const struct class_window *w)
{
    return w->is_alone || w->nmissed == WINDOW_PATIENT;
}

/* Notes that the thread wanted to go on with a parked span, which had been claimed. */
static void window_miss(struct class_window *w)
{
    if (w->nmissed < WINDOW_PATIENT)
        w->nmissed++;
}

void window_park(struct class_window *w, const struct slot_view *v)
{
    if (w->slice == 0)
        return;
    uint32_t slice = w->slice;
    w->at.mask = 0;
    w->at.states = NULL;
    w->slice = 0; /* first: a fork at this point must not find the span twice */
    parked_push(w, slice);
    span_park(&v->pagemap[slice - 1], w->nslots, window_is_patient(w), w);
}

/* Parks the span of the window and opens another one, which was parked itself until now.
 *
 *     window A, parked B C D   =>   window B, parked C D A */
static void window_swap(struct class_window *w, const struct slot_view *v, uint32_t slice)
{
    window_park(w, v);
    window_open(w, v, slice);
}

/* Goes on with a parked span of which enough was freed, the oldest first. Returns false if there
 * is none. A span that was claimed is forgotten, and counts as missed: if it had stayed the
 * thread's, no lock would have to be taken now. The oldest has had the longest time to become free,
 * so if it is not reusable, no other is looked at. */
static bool window_change(struct class_window *w, const struct slot_view *v)
{
    uint32_t slice;
    while ((slice = parked_oldest(w)) != 0) {
        struct span *span = &v->pagemap[slice - 1];
        if (!span_is_reusable(span, w->nslots))
            return false;
        parked_pop(w);
        if (span_unpark(span, w)) {
            window_swap(w, v, slice);
            return true;
        }
        window_miss(w);
    }
    return false;
}

/* Which slots of a parked span are looked at: those that were used before, or all. */
enum slots_wanted { SLOTS_USED, SLOTS_ALL };

/* Goes on with a parked large-slot span in which such a slot is free, and finds it. Its few slots
 * make the countdown useless, so the states of each parked span are read. Spans that were claimed
 * are forgotten; the others keep their order. */
static bool window_change_wide(struct class_window *w, const struct slot_view *v,
                               enum slots_wanted wanted)
{
    for (unsigned n = w->nparked; n > 0; n--) {
        uint32_t slice = parked_oldest(w);
        struct span *span = &v->pagemap[slice - 1];
        bool is_parked = span_is_parked(span, w);
        uint32_t n_wanted = wanted == SLOTS_USED ? span_used(span) : w->nslots;
        parked_pop(w); /* it comes back at the end of the ring, if it is still the thread's */
        if (!is_parked)
            continue;
        if (free_slots(span->states, n_wanted) == 0) {
            parked_push(w, slice);
        } else if (span_unpark(span, w)) {
            window_swap(w, v, slice);
            return window_find(w, v, WINDOW_ANY); /* no other thread takes from it now */
        }
    }
    return false;
}

/* Nothing is waited for: the thread no longer uses the window. */
void window_close(struct spans *s, struct class_window *w)
{
    uint32_t slice;
    /* Spans that were claimed meanwhile have no owner, or another one: they are only forgotten. */
    for (; (slice = parked_oldest(w)) != 0; parked_pop(w))
        if (span_unpark(pagemap_span(s, slice), w))
            spans_release(s, slice);
    if (w->slice != 0)
        spans_release(s, w->slice);
    spans_free_metadata(s, w, sizeof *w);
}

/* A large-slot span stays, since only a few classes could use it. Parked spans are left alone: each
 * is claimed when some of it is free [SP6]. No reader uses the window meanwhile, since its thread
 * is the caller. */
void window_release_if_empty(struct spans *s, struct class_window *w)
{
    uint32_t slice = w->slice;
    if (slice == NO_SLICE || is_wide(w->slot_bytes))
        return;
    const struct span *span = pagemap_span(s, slice);
    if (states_count_free(span->states, span->nslots) < span->nslots)
        return;
    w->at.mask = 0;
    w->at.states = NULL;
    w->slice = NO_SLICE; /* first: a fork at this point must not find the span twice */
    spans_release(s, slice);
}

/* A window with less than an eighth of its slots free is not worth the trouble, since the next
 * look would follow soon. */
bool window_take_or_change(struct class_window *w, const struct slot_view *v, size_t nbytes,
                           void **object)
{
    bool has = w->at.mask != 0 || window_find(w, v, WINDOW_EIGHTH) ||
               (window_change(w, v) && window_find(w, v, WINDOW_EIGHTH));
    assert(w->at.mask != 0 || !has);
    if (has)
        *object = window_take_any(w, w->at.mask, nbytes);
    return has;
}

/* Finds a free slot of a large size: there are so few of these that a single one is worth it. In a
 * large-slot span, first those that were used before, in this span and then in a parked one, since
 * they have their pages; then one that was not. */
static bool window_find_large(struct class_window *w, const struct slot_view *v)
{
    if (!is_wide(w->slot_bytes))
        return window_find(w, v, WINDOW_ANY) ||
               (window_change(w, v) && window_find(w, v, WINDOW_ANY));
    return window_find_used(w, WINDOW_ANY) || window_change_wide(w, v, SLOTS_USED) ||
           window_find_unused(w, v, WINDOW_ANY) || window_change_wide(w, v, SLOTS_ALL);
}

bool window_take_large_or_change(struct class_window *w, const struct slot_view *v, size_t nbytes,
                                 void **object, bool *clean)
{
    if (w->at.mask == 0 && !window_find_large(w, v))
        return false;
    return window_take_large(w, nbytes, object, clean);
}

/* The span was used up, and hardly any of it was freed since. */
void window_make_room_to_park(struct spans *s, struct class_window *w)
{
    if (w->nparked < NPARKED)
        return;
    uint32_t slice = parked_oldest(w);
    parked_pop(w);
    if (span_unpark(pagemap_span(s, slice), w))
        spans_release_used(s, slice);
}

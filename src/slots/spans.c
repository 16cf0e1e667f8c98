/* SPDX-License-Identifier: MIT
 *
 * spans.c - small objects in slots under the lock: taken, found, freed. Invariants: span.h,
 * pagemap.h.
 *
 * A slot that is taken here comes from a PARTIAL span. As that has no owner, the lock holder is the
 * only one that takes its slots [SP3].
 */
#include "slots/spans.h"

#include "slots/queue.h"

/* Slices become smaller until the region has 2^NSLICES_SHIFT of them. A class of large slots is
 * only for regions in which as many of its spans would fit. */
void spans_open(struct spans *s, struct chunks *chunks)
{
    assert(chunks->region.nbytes > 0);
    enum { KEPT = 32 };
    *s = (struct spans){.chunks = chunks, .slice_shift = SLICE_SHIFT};
    while (s->slice_shift >= SLICE_SHIFT_MIN &&
           chunks->region.nbytes >> s->slice_shift >> NSLICES_SHIFT == 0)
        s->slice_shift--;
    if (s->slice_shift >= SLICE_SHIFT_MIN)
        s->object_max = (uint32_t)slice_bytes(s) >> SLOTS_SHIFT;
    for (unsigned c = sizeclass_of(NARROW_BYTES_MAX + 1); c < NCLASSES; c++)
        if (chunks->region.nbytes >> SLICE_SHIFT >> NSLICES_SHIFT >=
            nslices_max(sizeclass_bytes(c)))
            s->object_max = sizeclass_bytes(c);
    assert(s->object_max <= SPAN_OBJECT_MAX);
    s->nkept = chunks->list.head == NULL ? KEPT : 0;
}

/* Returns the shift for a small region: a slice is about a 24th to a 48th of it, but not so
 * small that it would be of no use. */
static unsigned small_slice_shift(size_t nbytes)
{
    enum { SLICES = 24 };
    unsigned shift = SMALL_SLICE_SHIFT_MIN;
    while (nbytes >> (shift + 1) >= SLICES && shift < SLICE_SHIFT)
        shift++;
    return shift;
}

/* With `skipped` there are half as many classes, four to each doubling, as each class that is
 * used takes a slice at least. */
void spans_open_small(struct spans *s)
{
    assert(s->nheld == 0 && s->object_max == 0);
    enum { KEPT = 4 };
    size_t nbytes = spans_region(s)->nbytes;
    s->slice_shift = small_slice_shift(nbytes);
    assert(s->slice_shift >= SMALL_SLICE_SHIFT_MIN && s->slice_shift <= SLICE_SHIFT);
    s->object_max = (uint32_t)slice_bytes(s) >> SMALL_SLOTS_SHIFT;
    s->skipped = 1;
    s->nkept = (uint32_t)(nbytes >> s->slice_shift) / KEPT;
}

/* The classes that are skipped are counted as well: a class is an index. */
unsigned spans_nclasses(size_t nbytes)
{
    size_t small = (size_t)1 << small_slice_shift(nbytes) >> SMALL_SLOTS_SHIFT;
    return (sizeclass_of(small < NARROW_BYTES_MAX ? small : NARROW_BYTES_MAX) | 1) + 1;
}

/* --- slots under the lock ---------------------------------------------------------- */

/* Where an empty span is free memory at once, an object that comes and goes alone would have its
 * span made and given back each time, which costs as much as half a dozen chunks. So there, once
 * the last object of a span has gone, the next objects of its class get chunks, and only after
 * NSHUNNED of them, or if another span of the class has free slots, a slot again. A span that is
 * made in vain then costs each object a small part of what a chunk costs [C15], whatever was taken
 * and freed before. Counts an object for which no span has a free slot, and returns whether it is
 * one of those. */
static bool count_shunned(struct spans *s, unsigned sizeclass)
{
    if (s->nshunned[sizeclass] == 0)
        return false;
    s->nshunned[sizeclass]--;
    return true;
}

/* Makes a span PARTIAL that is all free and in no queue. It has no owner: the lock holder takes its
 * slots, and readers may free them. Its countdown begins at 0, and is raised by one for each slot
 * that is taken. */
static void queue_push_partial(struct spans *s, uint32_t slice)
{
    span_publish(pagemap_span(s, slice));
    span_restart_countdown(pagemap_span(s, slice), 0);
    queue_push(s, slice, SPAN_PARTIAL);
}

/* Returns the first PARTIAL span of a class, or one that becomes PARTIAL here; NO_SLICE if there is
 * no room, or the object is shunned. */
static uint32_t queue_first_or_new(struct spans *s, unsigned sizeclass)
{
    uint32_t slice = queue_first(s, FOR_OBJECTS, sizeclass, false);
    if (slice != NO_SLICE)
        return slice;
    if (count_shunned(s, sizeclass))
        return NO_SLICE;
    slice = span_get(s, sizeclass);
    if (slice != NO_SLICE)
        queue_push_partial(s, slice);
    return slice;
}

/* Notes that a slot is handed out, and whether it was clean, as chunks_take does for chunks. */
static void slot_is_taken(struct spans *s, uint32_t slice, uint32_t index)
{
    const struct span *span = pagemap_span(s, slice);
    uint32_t ngranules = span->slot_bytes / GRANULE_BYTES;
    uint32_t start = pagemap_granule(s, slice) + index * ngranules;
    bool clean = false;
    if (span->slot_bytes > CLEAN_FROM) {
        uint16_t *far = far_slack(span->states, span->nslots, index);
        clean = far_is_clean(far);
        if (clean) /* a slack that fits into the state would leave it as it is */
            __atomic_store_n(far, 0, __ATOMIC_RELAXED);
    }
    s->chunks->clean->taken =
        clean ? (struct interval){start, start + ngranules} : (struct interval){0};
}

/* Returns a random number below n (Marsaglia, "Xorshift RNGs", 2003). */
static uint32_t random_below(struct spans *s, uint32_t n)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return (uint32_t)((s->random >> 32) * n >> 32);
}

/* Takes a free slot of the first PARTIAL span, which stays in its queue, and stores it. Returns
 * false if there is no room. Owners and other threads may have changed the span since it was
 * queued, so a span without a free slot is counted again, and the next one is tried. */
static bool slot_take(struct spans *s, unsigned sizeclass, uint32_t slack, struct slot *slot)
{
    uint32_t slice;
    while ((slice = queue_first_or_new(s, sizeclass)) != NO_SLICE) {
        struct span *span = pagemap_span(s, slice);
        /* From where the last search ended, or from a random slot; then from the beginning. */
        uint32_t from = s->random == 0 ? span->search : random_below(s, span->nslots);
        uint32_t index = states_first_free(span->states, span->nslots, from);
        if (index == span->nslots)
            index = states_first_free(span->states, span->nslots, 0);
        if (index == span->nslots) { /* others have taken all of them */
            span_requeue(s, slice, span_share(span->nslots));
            continue;
        }
        assert(index < span->nslots);
        if (s->chunks->clean != NULL)
            slot_is_taken(s, slice, index);
        state_make_object(span->states, span->nslots, index, slack);
        /* The lowest of large slots comes first, as the others may have no pages yet. */
        span->search = (uint16_t)(is_wide(span->slot_bytes) ? 0 : index + 1);
        span_set_countdown(span, span_countdown(span) + 1); /* SP7 */
        *slot = (struct slot){.slice = slice, .index = index, .bytes = span->slot_bytes};
        return true;
    }
    return false;
}

/* Returns where a slot begins. */
static void *slot_address(const struct spans *s, const struct slot *slot)
{
    assert(slot->index * slot->bytes < span_nslices(pagemap_span(s, slot->slice)) * slice_bytes(s));
    return (void *)(pagemap_address(s, slot->slice) + (uintptr_t)slot->index * slot->bytes);
}

/* Frees a slot as a thread does without the lock (tcache.h), and then does what the end of the
 * countdown calls for. */
static void slot_free(struct spans *s, uint32_t slice, uint32_t index)
{
    struct span *span = pagemap_span(s, slice);
    assert(index < span->nslots && span->slot_bytes != 0);
    /* The countdown first: when the state is 0, the span may be another thread's business. */
    bool positive = count_down(&span->countdown);
    state_clear(span->states, index);
    if (!positive)
        span_refile(s, slice);
}

/* Takes n consecutive lines of a PARTIAL metadata span. Returns the first, or NULL if there are
 * none. */
static void *lines_take(struct spans *s, uint32_t slice, uint32_t n)
{
    struct span *span = pagemap_span(s, slice);
    uint32_t first = states_first_run(span->states, span->nslots, n);
    if (first == span->nslots)
        return NULL;
    for (uint32_t i = first; i < first + n; i++)
        state_make_object(span->states, span->nslots, i, 0);
    /* As slot_take does for one slot, so that each line that is free counts as one
     * free slot [SP7]. */
    span_set_countdown(span, span_countdown(span) + (int32_t)n);
    return (void *)(pagemap_address(s, slice) + (uintptr_t)first * LINE_BYTES);
}

/* Looks for n lines in a few PARTIAL spans: one that has them only here and there goes to the end
 * of the queue, and is counted. Then a span that is EMPTY or new has them. */
static void *lines_take_any(struct spans *s, uint32_t n)
{
    enum { FEW = 4 };
    uint32_t slice = queue_first(s, FOR_METADATA, LINE_CLASS, false);
    for (int i = 0; i < FEW && slice != NO_SLICE; i++) {
        void *lines = lines_take(s, slice, n);
        if (lines != NULL)
            return lines;
        queue_remove(s, slice);
        queue_push(s, slice, SPAN_PARTIAL); /* at the end */
        span_requeue(s, slice, span_share(pagemap_span(s, slice)->nslots));
        slice = queue_first(s, FOR_METADATA, LINE_CLASS, false);
    }
    slice = span_get_lines(s);
    if (slice == NO_SLICE)
        return NULL;
    queue_push_partial(s, slice);
    return lines_take(s, slice, n);
}

/* Lines are used again, so they are cleared. No two sizes need spans of their own: most programs
 * have one metadata span, of which they touch a few pages. */
void *spans_take_metadata(struct spans *s, size_t nbytes)
{
    assert(nbytes > 0 && nbytes <= slice_bytes(s) / 4);
    void *lines = lines_take_any(s, (uint32_t)ceil_div(nbytes, LINE_BYTES));
    return lines == NULL ? NULL : memset(lines, 0, nbytes);
}

/* Each line counts down by itself, so the last line that is freed makes its span EMPTY, as the last
 * object of another span does. */
void spans_free_metadata(struct spans *s, void *metadata, size_t nbytes)
{
    uint32_t slice = pagemap_slice(s, (uintptr_t)metadata);
    uint32_t into = (uint32_t)((uintptr_t)metadata - pagemap_address(s, slice));
    assert(pagemap_span(s, slice)->purpose == FOR_METADATA && into % LINE_BYTES == 0);
    for (uint32_t i = 0; i < ceil_div(nbytes, LINE_BYTES); i++)
        slot_free(s, slice, into / LINE_BYTES + i);
}

/* The slack is known before a slot is looked for, so that a failure has no effect. */
void *spans_take(struct spans *s, size_t nbytes, unsigned sizeclass)
{
    assert(sizeclass < NCLASSES && nbytes <= sizeclass_bytes(sizeclass));
    struct slot slot;
    uint32_t slack = sizeclass_bytes(sizeclass) - (uint32_t)nbytes;
    if (slack > slack_max(sizeclass_bytes(sizeclass)) || !slot_take(s, sizeclass, slack, &slot))
        return NULL;
    return slot_address(s, &slot);
}

/* Makes no span: only queues are looked at. The slack may be too much for one class and not for
 * the next. */
void *spans_take_larger(struct spans *s, size_t nbytes)
{
    for (unsigned c = sizeclass_of(nbytes) + 1; c < NCLASSES; c++) {
        /* Without a PARTIAL span spans_take would make a new one, of more slices. */
        bool any = queue_first(s, FOR_OBJECTS, c, false) != NO_SLICE;
        void *object = any ? spans_take(s, nbytes, c) : NULL;
        if (object != NULL)
            return object;
    }
    return NULL;
}

/* From the address to the slice, to the first slice of its span, to the slot. The state is read
 * once, as another thread may free the slot between two reads. */
bool spans_find_slot(const struct spans *s, size_t offset, struct slot *slot)
{
    assert(s->nheld > 0); /* else there is no page map [PM3] */
    assert(offset < spans_region(s)->nbytes);
    uintptr_t address = (uintptr_t)spans_region(s)->base + offset;
    uint32_t slice = pagemap_slice(s, address);
    if (slice > s->nclear)
        return false;
    slice -= pagemap_span(s, slice)->back; /* to the first slice of the span [PM1] */
    const struct span *span = pagemap_span(s, slice);
    if (span->slot_bytes == 0)
        return false;
    uint32_t into = (uint32_t)(address - pagemap_address(s, slice));
    uint32_t index = slot_of_inside(span->slot_bytes, into, span->reciprocal);
    *slot = (struct slot){.slice = slice,
                          .index = index,
                          .bytes = span->slot_bytes,
                          .into = into - index * span->slot_bytes,
                          .is_metadata = span->purpose == FOR_METADATA,
                          .is_rest = index >= span->nslots};
    uint32_t state = index < span->nslots ? state_get(span->states, index) : 0;
    slot->is_object = state != 0 && !slot->is_metadata;
    slot->slack = slot->is_object ? slack_of(span->states, span->nslots, index, state) : 0;
    return true;
}

/* The slot may have been the last object of its span. */
void spans_free(struct spans *s, const struct slot *slot)
{
    assert(slot->is_object && !slot->is_metadata && !slot->is_rest);
    if (s->threads.first != NULL && !thread_is_the_only())
        s->may_have_raced = 1; /* with a thread that has a cache */
    slot_free(s, slot->slice, slot->index);
    spans_give_back_surplus(s);
}

/* The other threads may free the slot meanwhile; state_resize_object finds out. */
bool spans_resize(struct spans *s, const struct slot *slot, size_t nbytes)
{
    assert(slot->is_object && slot->slack <= slot->bytes);
    const struct span *span = pagemap_span(s, slot->slice);
    return slot_suits(slot->bytes, slot->bytes - slot->slack, nbytes) &&
           state_resize_object(span->states, span->nslots, slot->index,
                               slot->bytes - (uint32_t)nbytes);
}

/* --- the tally --------------------------------------------------------------------- */

/* Adds one span. */
static void tally_span(const struct span *span, struct slot_tally *t)
{
    t->nheld += span_nslices(span);
    if (span->purpose != FOR_OBJECTS)
        return;
    uint32_t nfree = span_nfree(span), nlive = span->nslots - nfree;
    t->live_bytes += (size_t)nlive * span->slot_bytes;
    t->nfree += nfree;
    t->free_bytes += (size_t)nfree * span->slot_bytes;
    t->idle_bytes += nlive == 0 ? (size_t)nfree * span->slot_bytes : 0;
    t->nfree_of[span->sizeclass] += nfree;
}

/* Ends with the last span, which is often far below the last chunk. */
bool spans_tally(const struct spans *s, struct slot_tally *t, uint32_t nslices)
{
    uint32_t n = s->nheld > 0 ? least(pagemap_nslices_used(s), s->nclear) : 0;
    uint32_t end = least(n, t->nseen + nslices);
    while (t->nseen < end && t->nheld < s->nheld) {
        const struct span *span = pagemap_span(s, t->nseen + 1);
        if (span->slot_bytes != 0)
            tally_span(span, t);
        t->nseen += span->slot_bytes != 0 ? span_nslices(span) : 1;
    }
    return t->nseen < n && t->nheld < s->nheld;
}

/* SPDX-License-Identifier: MIT */
#include "slots/span.h"

enum { NO_SLICE = 0, QUEUE_SHARE = 16 };

/* An owner looks for itself; nobody needs to count for it. */
enum { COUNTDOWN_NEVER = INT32_MAX / 2 };

static const struct region *region_of(const struct spans *s)
{
    return &s->chunks->region;
}

static size_t slice_bytes(const struct spans *s)
{
    return (size_t)1 << s->slice_shift;
}

static uint32_t slice_granules(const struct spans *s)
{
    return (uint32_t)(slice_bytes(s) / GRANULE_BYTES);
}

/* Units are aligned addresses, and counted from the one that the region begins in. */
uintptr_t pagemap_address(const struct spans *s, uint32_t slice)
{
    return (((uintptr_t)region_of(s)->base >> s->slice_shift) + (slice - 1)) << s->slice_shift;
}

static uint32_t slice_of(const struct spans *s, uintptr_t address)
{
    uintptr_t base = (uintptr_t)region_of(s)->base;
    return (uint32_t)((address >> s->slice_shift) - (base >> s->slice_shift)) + 1;
}

static size_t nslices(const struct spans *s)
{
    return slice_of(s, (uintptr_t)region_of(s)->base + region_of(s)->nbytes - 1);
}

/* No span lies in a higher unit: above it nothing of the map was ever touched. */
static uint32_t nslices_used(const struct spans *s)
{
    uint32_t top = ledger_tail(&s->chunks->ledger).start;
    return top == 0 ? 0 : slice_of(s, (uintptr_t)region_at(region_of(s), top) - 1);
}

void spans_open(struct spans *s, struct chunks *chunks)
{
    enum { KEPT = 24 };
    *s = (struct spans){.chunks = chunks, .slice_shift = SLICE_SHIFT};
    while (s->slice_shift >= SLICE_SHIFT_MIN &&
           chunks->region.nbytes >> s->slice_shift >> NSLICES_SHIFT == 0)
        s->slice_shift--;
    size_t span_max = slice_bytes(s);
    if (chunks->region.nbytes >> s->slice_shift >> NSLICES_SHIFT >= WIDE_SLICES)
        span_max *= WIDE_SLICES;
    s->object_max = s->slice_shift < SLICE_SHIFT_MIN ? 0 : (uint32_t)(span_max >> SLOTS_SHIFT);
    s->nkept = chunks->list.head == NULL ? KEPT : 0;
}

/* Of 1 / UNITS of the region; as small ones as have any use. */
static unsigned small_slice_shift(size_t nbytes)
{
    enum { SLICES = 24 };
    unsigned shift = SMALL_SLICE_SHIFT_MIN;
    while (nbytes >> (shift + 1) >= SLICES && shift < SLICE_SHIFT)
        shift++;
    return shift;
}

void spans_open_small(struct spans *s, struct chunks *chunks)
{
    enum { KEPT = 4 };
    s->chunks = chunks;
    s->slice_shift = small_slice_shift(chunks->region.nbytes);
    s->object_max = (uint32_t)slice_bytes(s) >> SMALL_SLOTS_SHIFT;
    s->skipped = 1;
    s->nkept = (uint32_t)(chunks->region.nbytes >> s->slice_shift) / KEPT;
}

unsigned spans_nclasses(size_t nbytes)
{
    size_t small = (size_t)1 << small_slice_shift(nbytes) >> SMALL_SLOTS_SHIFT;
    return (sizeclass_of(small < NARROW_BYTES_MAX ? small : NARROW_BYTES_MAX) | 1) + 1;
}

/* --- states ---------------------------------------------------------------------- */

static uint32_t state_get(const struct span *span, uint32_t index)
{
    return __atomic_load_n(span->states + index, __ATOMIC_ACQUIRE);
}

static void state_clear(const struct span *span, uint32_t index)
{
    __atomic_store_n(span->states + index, 0, __ATOMIC_RELEASE);
}

void span_make_object(unsigned char *states, uint32_t nslots, uint32_t index, uint32_t slack)
{
    bool far = slack > SLACK_NEAR_MAX;
    if (far)
        __atomic_store_n(far_slack(states, nslots, index), (uint16_t)slack, __ATOMIC_RELAXED);
    uint8_t state = (uint8_t)(far ? STATE_FAR : slack + 1);
    __atomic_store_n(states + index, state, __ATOMIC_RELEASE);
}

bool span_resize_object(unsigned char *states, uint32_t nslots, uint32_t index, uint32_t slack)
{
    bool far = slack > SLACK_NEAR_MAX;
    uint8_t state = (uint8_t)(far ? STATE_FAR : slack + 1);
    if (!state_replace(states + index, state))
        return false;
    if (far)
        __atomic_store_n(far_slack(states, nslots, index), (uint16_t)slack, __ATOMIC_RELAXED);
    return true;
}

static uint32_t count_free(const struct span *span)
{
    uint32_t nfree = 0;
    for (uint32_t i = 0; i < span->nslots; i += STATES_AT_ONCE)
        nfree += count_bits(free_slots(span->states + i, span->nslots - i));
    return nfree;
}

/* --- the queues of a class ------------------------------------------------------- */

static uint32_t nslices_in(const struct span *span)
{
    return is_wide(span->slot_bytes) ? WIDE_SLICES : 1;
}

/* Only while there are spans. */
static uint32_t *queue_at(const struct spans *s, int purpose, unsigned sizeclass, bool empty)
{
    struct queues *q = (struct queues *)region_at(region_of(s), s->pagemap) + purpose;
    return empty ? &q->empty[sizeclass] : &q->partial[sizeclass];
}

static uint32_t *queue_of(const struct spans *s, const struct span *span)
{
    return queue_at(s, span->purpose, span->sizeclass, span->status == SPAN_EMPTY);
}

static uint32_t first_of(const struct spans *s, int purpose, unsigned sizeclass, bool empty)
{
    return s->nheld > 0 ? *queue_at(s, purpose, sizeclass, empty) : NO_SLICE;
}

/* At the end: who waits longest is the first to be wanted, since by then most of it is free. */
static void queue_push(struct spans *s, uint32_t slice, enum span_status status)
{
    struct span *span = pagemap_span(s, slice);
    span->status = (uint8_t)status;
    uint32_t *first = queue_of(s, span);
    if (*first == NO_SLICE)
        *first = span->next = span->previous = slice;
    span->next = *first;
    span->previous = pagemap_span(s, *first)->previous;
    pagemap_span(s, span->previous)->next = slice;
    pagemap_span(s, *first)->previous = slice;
    s->nempty += status == SPAN_EMPTY ? nslices_in(span) : 0;
}

static void queue_remove(struct spans *s, uint32_t slice)
{
    struct span *span = pagemap_span(s, slice);
    uint32_t *first = queue_of(s, span);
    if (*first == slice)
        *first = span->next == slice ? NO_SLICE : span->next;
    pagemap_span(s, span->previous)->next = span->next;
    pagemap_span(s, span->next)->previous = span->previous;
    s->nempty -= span->status == SPAN_EMPTY ? nslices_in(span) : 0;
}

/* --- units from and to the ledger ------------------------------------------------ */

/* Takes granules that are neither an object nor free: the slack says so. */
static bool reserve(struct spans *s, uint32_t length, uint32_t align, uint32_t *start)
{
    return chunks_take_aligned(s->chunks, length, align, LEDGER_RESERVED, start) == CHUNKS_OK;
}

/* Its length is not what was asked for, if the ledger was short of records. */
static void give_back(struct spans *s, uint32_t start)
{
    struct chunk c;
    ledger_find(&s->chunks->ledger, start, &c);
    chunks_give_back(s->chunks, start, start + c.length);
}

uint32_t pagemap_granules(const struct spans *s)
{
    size_t nbytes = QUEUES_BYTES + nslices(s) * sizeof(struct span);
    return s->nheld > 0 ? (uint32_t)(nbytes / GRANULE_BYTES) : 0;
}

/* All is zero at first: the queues are empty, no unit is a span. */
static bool pagemap_open(struct spans *s)
{
    const uint32_t line = sizeof(struct span) / GRANULE_BYTES;
    size_t nbytes = QUEUES_BYTES + nslices(s) * sizeof(struct span);
    uint32_t length = (uint32_t)(nbytes / GRANULE_BYTES);
    if (s->nheld > 0)
        return true;
    struct ledger before = s->chunks->ledger;
    if (!reserve(s, length, line, &s->pagemap))
        return false;
    /* What nobody ever wrote to is zero, but for a node of the free list at its begin; it
     * may be large, and is not touched. Else entries are cleared as units are taken, but
     * for threads that look without the lock: for them at once. */
    bool is_fresh = region_of(s)->is_zero && ledger_is_fresh(&before, s->pagemap, length);
    bool all = is_fresh || s->chunks->list.head == NULL;
    memset(region_at(region_of(s), s->pagemap), 0,
           is_fresh ? GRANULE_BYTES
           : all    ? nbytes
                    : (size_t)QUEUES_BYTES);
    s->nclear = all ? (uint32_t)nslices(s) : 0;
    return true;
}

static void pagemap_close(struct spans *s)
{
    if (s->nheld == 0)
        give_back(s, s->pagemap);
}

static void pagemap_clear_up_to(struct spans *s, uint32_t last)
{
    if (last <= s->nclear)
        return;
    memset(pagemap_span(s, s->nclear + 1), 0, (last - s->nclear) * sizeof(struct span));
    s->nclear = last;
}

static uint32_t slices_take(struct spans *s, uint32_t n)
{
    uint32_t start;
    if (!pagemap_open(s))
        return NO_SLICE;
    if (!reserve(s, n * slice_granules(s), slice_granules(s), &start)) {
        pagemap_close(s);
        return NO_SLICE;
    }
    uint32_t first = slice_of(s, (uintptr_t)region_at(region_of(s), start));
    pagemap_clear_up_to(s, first + n - 1);
    for (uint32_t i = 1; i < n; i++)
        __atomic_store_n(&pagemap_span(s, first + i)->back, i, __ATOMIC_RELAXED);
    s->nheld += n;
    s->nmade++;
    return first;
}

static uint32_t slice_granule(const struct spans *s, uint32_t slice)
{
    return (uint32_t)((pagemap_address(s, slice) - (uintptr_t)region_of(s)->base) / GRANULE_BYTES);
}

/* `visible` is 0 before and after: others may be looking. */
static void slices_give_back(struct spans *s, uint32_t first, uint32_t n)
{
    struct span *span = pagemap_span(s, first);
    assert(span->reciprocal_published == 0 && span->reciprocal_published_wide == 0);
    for (uint32_t i = 1; i < n; i++)
        __atomic_store_n(&pagemap_span(s, first + i)->back, 0, __ATOMIC_RELAXED);
    memset(&span->slot_bytes, 0, sizeof *span - offsetof(struct span, slot_bytes));
    give_back(s, slice_granule(s, first));
    s->nheld -= n;
    pagemap_close(s);
}

/* --- spans ------------------------------------------------------------------------- */

static void publish(struct span *span)
{
    uint32_t *reciprocal_published =
        is_wide(span->slot_bytes) ? &span->reciprocal_published_wide : &span->reciprocal_published;
    bool seen = span->purpose == FOR_OBJECTS;
    __atomic_store_n(reciprocal_published, seen ? span->reciprocal : 0, __ATOMIC_RELEASE);
}

static void unpublish(struct span *span)
{
    __atomic_store_n(&span->reciprocal_published, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&span->reciprocal_published_wide, 0, __ATOMIC_RELEASE);
}

static int32_t get_countdown(const struct span *span)
{
    return __atomic_load_n(&span->countdown, __ATOMIC_RELAXED);
}

static void set_countdown(struct span *span, int32_t nfrees)
{
    __atomic_store_n(&span->countdown, nfrees, __ATOMIC_RELAXED);
}

/* What is left over behind the last slot may be taken for one: it is always free.
 * Blocks fill cache lines, so that owners of two spans do not write to the same. */
static size_t state_array_bytes(const struct span *span)
{
    enum { LINE = 64 };
    size_t n = far_offset(span->nslots);
    if (span->slot_bytes > ALL_NEAR_MAX)
        n += span->nslots * sizeof(uint16_t);
    return ceil_div(n, LINE) * LINE;
}

/* A span of ours has its own block in its slots, and leaves the first and the last slot
 * alone: who writes a little over the end of an object next to it hits nothing. */
static uint32_t nreserved(const struct span *span)
{
    enum { GUARDS = 2 };
    if (span->purpose != FOR_METADATA)
        return 0;
    return GUARDS + (uint32_t)ceil_div(state_array_bytes(span), span->slot_bytes);
}

static bool states_place(struct spans *s, uint32_t slice)
{
    struct span *span = pagemap_span(s, slice);
    void *states_at = span->purpose == FOR_METADATA
                          ? (void *)(pagemap_address(s, slice) + span->slot_bytes)
                          : spans_take_metadata(s, state_array_bytes(span));
    if (states_at == NULL)
        return false;
    span->states = states_at;
    memset(states_at, 0, state_array_bytes(span));
    for (uint32_t i = 1; i < nreserved(span); i++)
        span_make_object(span->states, span->nslots, i - 1, 0);
    if (span->purpose == FOR_METADATA)
        span_make_object(span->states, span->nslots, span->nslots - 1u, 0);
    return true;
}

/* A span that is made may have one of ours made first, and one change be in another. */
static bool changes_begin(struct spans *s)
{
    if (s->changes % 2 != 0)
        return false;
    change_begin(&s->changes);
    return true;
}

static void changes_end(struct spans *s, bool outermost)
{
    if (outermost)
        change_end(&s->changes);
}

static void span_shape(const struct spans *s, struct span *span, unsigned sizeclass)
{
    span->slot_bytes = sizeclass_bytes(sizeclass);
    span->reciprocal = span_reciprocal(span->slot_bytes);
    span->nslots = (uint16_t)(nslices_in(span) * slice_bytes(s) / span->slot_bytes);
    span->sizeclass = (uint8_t)sizeclass;
    span->search = 0;
    span->used = 0;
}

static uint32_t span_cut(struct spans *s, unsigned sizeclass, int purpose)
{
    uint32_t n = is_wide(sizeclass_bytes(sizeclass)) ? WIDE_SLICES : 1;
    uint32_t slice = slices_take(s, n);
    if (slice == NO_SLICE)
        return NO_SLICE;
    struct span *span = pagemap_span(s, slice);
    span_shape(s, span, sizeclass);
    span->purpose = (uint8_t)purpose;
    if (!states_place(s, slice)) {
        slices_give_back(s, slice, n);
        return NO_SLICE;
    }
    return slice;
}

/* A new span is EMPTY, and in no queue yet. */
static uint32_t span_make(struct spans *s, unsigned sizeclass, int purpose)
{
    bool outermost = changes_begin(s);
    uint32_t slice = span_cut(s, sizeclass, purpose);
    changes_end(s, outermost);
    return slice;
}

/* Of an empty span, out of its queue, that nobody can be looking at any more. Its block
 * is freed after it, as that may empty the block's span. */
static void span_give_back(struct spans *s, uint32_t slice)
{
    struct span was = *pagemap_span(s, slice);
    bool outermost = changes_begin(s);
    slices_give_back(s, slice, nslices_in(&was));
    if (was.purpose == FOR_OBJECTS)
        spans_free_metadata(s, was.states);
    changes_end(s, outermost);
}

/* An empty span of objects becomes one of another class, if its block is as large for both. Only
 * where nobody looks without the lock but at what changes. */
static bool span_recut(struct spans *s, uint32_t slice, unsigned sizeclass)
{
    struct span *span = pagemap_span(s, slice), new = *span;
    span_shape(s, &new, sizeclass);
    if (is_wide(span->slot_bytes) || is_wide(new.slot_bytes) ||
        state_array_bytes(span) != state_array_bytes(&new))
        return false;
    queue_remove(s, slice);
    bool outermost = changes_begin(s);
    span_shape(s, span, sizeclass);
    memset(span->states, 0, state_array_bytes(span));
    changes_end(s, outermost);
    return true;
}

static uint32_t recut_any(struct spans *s, unsigned sizeclass)
{
    for (unsigned c = 0; c < NCLASSES && s->nempty > 0; c++) {
        uint32_t slice = first_of(s, FOR_OBJECTS, c, true);
        if (slice != NO_SLICE && span_recut(s, slice, sizeclass))
            return slice;
    }
    return NO_SLICE;
}

static void give_back_queue(struct spans *s, int purpose, unsigned sizeclass)
{
    uint32_t slice;
    while ((slice = first_of(s, purpose, sizeclass, true)) != NO_SLICE) {
        queue_remove(s, slice);
        span_give_back(s, slice);
    }
}

/* Those of objects first: that may empty more of ours. */
static void give_back_empty(struct spans *s)
{
    if (s->nempty == 0 || !threads_wait_locked(&s->threads))
        return;
    for (int purpose = FOR_OBJECTS; purpose < NPURPOSES; purpose++)
        for (unsigned c = 0; c < NCLASSES && s->nheld > 0; c++)
            give_back_queue(s, purpose, c);
}

void spans_give_back_empty(struct spans *s)
{
    give_back_empty(s);
}

/* To see that nobody is looking any more costs a system call if there are threads: wait
 * until some spans are empty, and also keep a few, to avoid take-free-take churn. */
static bool are_enough_empty(const struct spans *s)
{
    enum { PART = 8 };
    return s->nempty > s->nkept + (s->nkept > 0 ? s->nheld / PART : 0);
}

/* Threads that free at the same time lose some steps of a hint: of two that always meet,
 * half. If all objects were to be waited for, one lost step would keep an empty span for
 * good; so count again a little before, and again; or, if there are others, at half of them. */
static int32_t nfrees_until_empty(const struct spans *s, uint32_t nobjects)
{
    enum { PART = 8 };
    bool alone = s->threads.first == NULL || s->threads.first->next == NULL;
    uint32_t n = alone ? nobjects - nobjects / PART : nobjects / 2;
    return n > 0 ? (int32_t)n : 1;
}

/* Puts a span that nobody owns, and that is in no queue, where it belongs [SP4]: in a
 * queue if at least `least` of its slots are free. */
static void span_requeue(struct spans *s, uint32_t slice, uint32_t least)
{
    struct span *span = pagemap_span(s, slice);
    uint32_t nfree = count_free(span), nlive = span->nslots - nfree;
    if (nlive == nreserved(span)) {
        unpublish(span);
        queue_push(s, slice, SPAN_EMPTY);
    } else if (nfree >= least) {
        set_countdown(span, nfrees_until_empty(s, nlive - nreserved(span)));
        queue_push(s, slice, SPAN_PARTIAL);
    } else {
        set_countdown(span, (int32_t)(least - nfree));
        span->status = SPAN_FULL;
    }
}

static uint32_t share(uint32_t nslots)
{
    return (uint32_t)ceil_div(nslots, QUEUE_SHARE);
}

/* --- resting --------------------------------------------------------------------------- */

/* So many frees of a span that rests, and somebody takes it over. At most an eighth of it was
 * free before; and half of the steps may be lost. */
static int32_t park_countdown(uint32_t nslots)
{
    return (int32_t)(nslots / 2 - nslots / 8);
}

void span_park(struct span *span, uint32_t nslots, bool patient, const void *owner)
{
    set_countdown(span, patient ? (int32_t)(nslots - nslots / 8) : park_countdown(nslots));
    __atomic_store_n(&span->parked_by, owner, __ATOMIC_RELEASE);
}

static bool clear_parked_by(struct span *span, const void *owner)
{
    return __atomic_compare_exchange_n(&span->parked_by, &owner, NULL, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

bool span_unpark(struct span *span, const void *owner)
{
    if (!clear_parked_by(span, owner))
        return false;
    set_countdown(span, COUNTDOWN_NEVER);
    return true;
}

bool span_is_reusable(const struct span *span, uint32_t nslots)
{
    return get_countdown(span) <= park_countdown(nslots) - (int32_t)share(nslots);
}

static bool claim_parked(struct span *span)
{
    const void *owner = __atomic_load_n(&span->parked_by, __ATOMIC_RELAXED);
    return owner != NULL && clear_parked_by(span, owner);
}

static void refile(struct spans *s, uint32_t slice)
{
    struct span *span = pagemap_span(s, slice);
    if (span->status == SPAN_PARTIAL)
        queue_remove(s, slice);
    if (span->status == SPAN_PARTIAL || span->status == SPAN_FULL)
        span_requeue(s, slice, share(span->nslots));
    else if (span->status == SPAN_OWNED && claim_parked(span))
        span_requeue(s, slice, share(span->nslots));
    else if (span->status == SPAN_OWNED && get_countdown(span) <= 0)
        set_countdown(span, COUNTDOWN_NEVER); /* it has been in use for so long */
}

void spans_refile(struct spans *s, const void *address)
{
    uint32_t slice = s->nheld > 0 ? slice_of(s, (uintptr_t)address) : NO_SLICE;
    if (slice != NO_SLICE)
        refile(s, slice - pagemap_span(s, slice)->back);
    if (are_enough_empty(s))
        give_back_empty(s);
}

void spans_release(struct spans *s, uint32_t slice)
{
    span_requeue(s, slice, share(pagemap_span(s, slice)->nslots));
    if (are_enough_empty(s))
        give_back_empty(s);
}

/* Not counted again: after that part of frees more. */
void spans_release_used(struct spans *s, uint32_t slice)
{
    struct span *span = pagemap_span(s, slice);
    set_countdown(span, (int32_t)share(span->nslots));
    span->status = SPAN_FULL;
}

/* Finds what hints have missed. */
static void look_at_all(struct spans *s, bool desperate)
{
    uint32_t n = s->nheld > 0 ? least(nslices_used(s), s->nclear) : 0;
    for (uint32_t slice = 1; slice <= n; slice++) {
        struct span *span = pagemap_span(s, slice);
        if (span->status != SPAN_PARTIAL && span->status != SPAN_FULL)
            continue;
        if (span->status == SPAN_PARTIAL)
            queue_remove(s, slice);
        span_requeue(s, slice, desperate ? 1 : share(span->nslots));
    }
    s->nmade = 0;
}

void spans_sweep(struct spans *s)
{
    look_at_all(s, true);
    give_back_empty(s);
}

/* Frees that raced may have left spans behind: look at all whenever as many new ones
 * were made. */
static bool is_time_to_look(const struct spans *s)
{
    enum { LEAST = 64 };
    return s->nmade >= LEAST && s->nmade >= s->nheld / 2;
}

/* Memory that was used before is better than what was not: it has its pages. */
static void give_back_others(struct spans *s)
{
    enum { SOME = 4 };
    if (s->nempty >= SOME)
        give_back_empty(s);
}

/* A span with free slots, in no queue and with no status; NO_SLICE if there is no room. */
static uint32_t span_get(struct spans *s, unsigned sizeclass, int purpose)
{
    uint32_t slice = first_of(s, purpose, sizeclass, false);
    if (slice == NO_SLICE && is_time_to_look(s)) {
        look_at_all(s, false);
        slice = first_of(s, purpose, sizeclass, false);
    }
    if (slice == NO_SLICE)
        slice = first_of(s, purpose, sizeclass, true);
    if (slice == NO_SLICE && purpose == FOR_OBJECTS && s->threads.first == NULL) {
        slice = recut_any(s, sizeclass);
        if (slice != NO_SLICE)
            return slice;
    }
    if (slice == NO_SLICE) {
        give_back_others(s);
        return span_make(s, sizeclass, purpose);
    }
    queue_remove(s, slice);
    return slice;
}

uint32_t spans_adopt(struct spans *s, unsigned sizeclass)
{
    uint32_t slice = span_get(s, sizeclass, FOR_OBJECTS);
    if (slice == NO_SLICE)
        return NO_SLICE;
    struct span *span = pagemap_span(s, slice);
    span->status = SPAN_OWNED;
    set_countdown(span, COUNTDOWN_NEVER);
    publish(span);
    return slice;
}

/* --- slots under the lock ---------------------------------------------------------- */

/* The first free slot from `from` on; nslots: there is none. */
static uint32_t first_free(const struct span *span, uint32_t from)
{
    if (from < span->nslots && state_get(span, from) == 0)
        return from;
    for (uint32_t i = from - from % STATES_AT_ONCE; i < span->nslots; i += STATES_AT_ONCE) {
        uint64_t mask = free_slots(span->states + i, span->nslots - i);
        mask &= i < from ? UINT64_MAX << (from - i) : UINT64_MAX;
        if (mask != 0)
            return i + (uint32_t)lowest_bit(mask);
    }
    return span->nslots;
}

/* The first span in the queue, or a new one there; NO_SLICE if there is no room. */
static uint32_t first_in_queue(struct spans *s, unsigned sizeclass, int purpose)
{
    uint32_t slice = first_of(s, purpose, sizeclass, false);
    if (slice != NO_SLICE)
        return slice;
    slice = span_get(s, sizeclass, purpose);
    if (slice == NO_SLICE)
        return NO_SLICE;
    publish(pagemap_span(s, slice));
    set_countdown(pagemap_span(s, slice), 0);
    queue_push(s, slice, SPAN_PARTIAL);
    return slice;
}

/* A free slot of the first span in the queue, which stays there. */
static bool slot_take(struct spans *s, unsigned sizeclass, int purpose, uint32_t slack,
                      struct slot *slot)
{
    uint32_t slice;
    while ((slice = first_in_queue(s, sizeclass, purpose)) != NO_SLICE) {
        struct span *span = pagemap_span(s, slice);
        uint32_t index = first_free(span, span->search);
        if (index == span->nslots)
            index = first_free(span, 0);
        if (index == span->nslots) { /* the queue was wrong: there is none in this one */
            queue_remove(s, slice);
            span_requeue(s, slice, share(span->nslots));
            continue;
        }
        span_make_object(span->states, span->nslots, index, slack);
        /* The lowest of large ones: the others may have no pages. */
        span->search = (uint16_t)(is_wide(span->slot_bytes) ? 0 : index + 1);
        set_countdown(span, get_countdown(span) + 1);
        *slot = (struct slot){.slice = slice, .index = index, .bytes = span->slot_bytes};
        return true;
    }
    return false;
}

static void *slot_address(const struct spans *s, const struct slot *slot)
{
    return (void *)(pagemap_address(s, slot->slice) + (uintptr_t)slot->index * slot->bytes);
}

/* What a free without the lock does (cache.h), and then the recount that it may call for. */
static void slot_free(struct spans *s, uint32_t slice, uint32_t index)
{
    struct span *span = pagemap_span(s, slice);
    bool positive = count_down(&span->countdown);
    state_clear(span, index);
    if (!positive)
        refile(s, slice);
}

void *spans_take_metadata(struct spans *s, size_t nbytes)
{
    struct slot slot;
    if (!slot_take(s, sizeclass_of(nbytes), FOR_METADATA, 0, &slot))
        return NULL;
    return memset(slot_address(s, &slot), 0, nbytes);
}

void spans_free_metadata(struct spans *s, void *metadata)
{
    uint32_t slice = slice_of(s, (uintptr_t)metadata);
    uint32_t into = (uint32_t)((uintptr_t)metadata - pagemap_address(s, slice));
    slot_free(s, slice, into / pagemap_span(s, slice)->slot_bytes);
}

/* NULL also if there would be too much slack. */
static void *object_take(struct spans *s, size_t nbytes, unsigned sizeclass)
{
    struct slot slot;
    uint32_t slack = sizeclass_bytes(sizeclass) - (uint32_t)nbytes;
    if (slack > slack_max(sizeclass_bytes(sizeclass)) ||
        !slot_take(s, sizeclass, FOR_OBJECTS, slack, &slot))
        return NULL;
    return slot_address(s, &slot);
}

void *spans_take(struct spans *s, size_t nbytes, unsigned sizeclass)
{
    return object_take(s, nbytes, sizeclass);
}

void *spans_take_larger(struct spans *s, size_t nbytes)
{
    for (unsigned c = sizeclass_of(nbytes) + 1; c < NCLASSES; c++) {
        bool any = first_of(s, FOR_OBJECTS, c, false) != NO_SLICE;
        void *object = any ? object_take(s, nbytes, c) : NULL;
        if (object != NULL)
            return object;
    }
    return NULL;
}

bool spans_find(const struct spans *s, size_t offset, struct slot *slot)
{
    if (s->nheld == 0)
        return false;
    uintptr_t address = (uintptr_t)region_of(s)->base + offset;
    uint32_t slice = slice_of(s, address);
    if (slice > s->nclear)
        return false;
    slice -= pagemap_span(s, slice)->back;
    const struct span *span = pagemap_span(s, slice);
    if (span->slot_bytes == 0)
        return false;
    uint32_t into = (uint32_t)(address - pagemap_address(s, slice));
    uint64_t scaled = is_wide(span->slot_bytes) ? into >> WIDE_SHIFT : into;
    uint32_t index = (uint32_t)(scaled * span->reciprocal >> 32);
    *slot = (struct slot){.slice = slice,
                          .index = index,
                          .bytes = span->slot_bytes,
                          .into = into - index * span->slot_bytes,
                          .is_metadata = span->purpose == FOR_METADATA,
                          .is_rest = index >= span->nslots};
    /* Once: it may be freed between two looks. */
    uint32_t state = index < span->nslots ? state_get(span, index) : 0;
    slot->is_object = state != 0 && !slot->is_metadata;
    slot->slack = slot->is_object ? slack_of(span->states, span->nslots, index, state) : 0;
    return true;
}

void spans_free(struct spans *s, const struct slot *slot)
{
    slot_free(s, slot->slice, slot->index);
    if (are_enough_empty(s))
        give_back_empty(s);
}

bool spans_resize(struct spans *s, const struct slot *slot, size_t nbytes)
{
    const struct span *span = pagemap_span(s, slot->slice);
    return slot_suits(slot->bytes, slot->bytes - slot->slack, nbytes) &&
           span_resize_object(span->states, span->nslots, slot->index,
                              slot->bytes - (uint32_t)nbytes);
}

/* --- moving ------------------------------------------------------------------------ */

/* Where the block of a span would be after a move: in the region, with all that belongs
 * to it? */
static bool states_would_be_inside(const struct spans *s, const struct span *span, ptrdiff_t delta)
{
    size_t offset = (uintptr_t)span->states + (uintptr_t)delta - (uintptr_t)region_of(s)->base;
    return offset < region_of(s)->nbytes &&
           state_array_bytes(span) <= region_of(s)->nbytes - offset;
}

/* False: some could not be moved; found out before any is. */
static bool move_all(struct spans *s, ptrdiff_t delta, bool really)
{
    for (uint32_t slice = 1; slice <= least(nslices_used(s), s->nclear); slice++) {
        struct span *span = pagemap_span(s, slice);
        if (span->slot_bytes == 0)
            continue;
        if (!really && !states_would_be_inside(s, span, delta))
            return false;
        span->states += really ? delta : 0;
    }
    return true;
}

bool spans_move(struct spans *s, ptrdiff_t delta)
{
    size_t pagemap = (size_t)s->pagemap * GRANULE_BYTES + QUEUES_BYTES;
    if (s->slice_shift > SLICE_SHIFT || s->slice_shift < SMALL_SLICE_SHIFT_MIN ||
        s->nclear > nslices(s))
        return false;
    if (s->nheld == 0)
        return true;
    return delta % (ptrdiff_t)slice_bytes(s) == 0 &&
           pagemap + nslices(s) * sizeof(struct span) <= region_of(s)->nbytes &&
           move_all(s, delta, false) && move_all(s, delta, true);
}

void spans_move_back(struct spans *s, ptrdiff_t delta)
{
    if (s->nheld > 0)
        move_all(s, -delta, true);
}

/* --- check ------------------------------------------------------------------------- */

static bool states_are_valid(const struct spans *s, const struct span *span, uint32_t *nfree)
{
    *nfree = 0;
    for (uint32_t i = 0; i < span->nslots; i++) {
        *nfree += state_get(span, i) == 0;
        if (state_get(span, i) != 0 && span_slack(span->states, span->nslots, i) > span->slot_bytes)
            return false;
    }
    return span->nslots * span->slot_bytes == nslices_in(span) * slice_bytes(s) ||
           state_get(span, span->nslots) == 0;
}

static bool span_is_valid(const struct spans *s, uint32_t slice)
{
    const struct span *span = pagemap_span(s, slice);
    struct chunk chunk;
    uint32_t nfree, n = nslices_in(span);
    if (!states_are_valid(s, span, &nfree))
        return false;
    for (uint32_t i = 1; i < n; i++)
        if (pagemap_span(s, slice + i)->back != i)
            return false;
    bool empty = nfree == span->nslots - nreserved(span);
    bool seen = span->purpose == FOR_OBJECTS && span->status != SPAN_EMPTY;
    return span->status != SPAN_NONE && (span->status != SPAN_EMPTY || empty) &&
           (span->reciprocal_published | span->reciprocal_published_wide) ==
               (seen ? span->reciprocal : 0) &&
           ledger_find(&s->chunks->ledger, slice_granule(s, slice), &chunk) &&
           chunk.state == CHUNK_RESERVED && chunk.start == slice_granule(s, slice) &&
           chunk.length >= n * slice_granules(s);
}

/* How many spans are in the queue; more than there are units, if it is broken. */
static uint32_t queue_length(const struct spans *s, int purpose, unsigned sizeclass,
                             enum span_status status)
{
    uint32_t first = first_of(s, purpose, sizeclass, status == SPAN_EMPTY);
    uint32_t n = 0, slice = first;
    if (first == NO_SLICE)
        return 0;
    do {
        const struct span *span = slice <= nslices(s) ? pagemap_span(s, slice) : NULL;
        if (n > s->nheld || span == NULL || span->purpose != purpose ||
            span->sizeclass != sizeclass || span->status != status || span->next == NO_SLICE ||
            span->next > nslices(s) || pagemap_span(s, span->next)->previous != slice)
            return s->nheld + 1;
        slice = span->next;
        n++;
    } while (slice != first);
    return n;
}

bool spans_are_valid(const struct spans *s)
{
    uint32_t nheld = 0, nqueued = 0, nempty = 0, nlisted = 0;
    if (s->nheld == 0)
        return true;
    for (uint32_t slice = 1; slice <= least(nslices_used(s), s->nclear); slice++) {
        const struct span *span = pagemap_span(s, slice);
        if (span->slot_bytes == 0)
            continue;
        if (!span_is_valid(s, slice))
            return false;
        nheld += nslices_in(span);
        nqueued += span->status == SPAN_PARTIAL || span->status == SPAN_EMPTY;
        nempty += span->status == SPAN_EMPTY ? nslices_in(span) : 0;
    }
    for (int purpose = FOR_OBJECTS; purpose < NPURPOSES; purpose++)
        for (unsigned c = 0; c < NCLASSES; c++) {
            nlisted += queue_length(s, purpose, c, SPAN_PARTIAL);
            nlisted += queue_length(s, purpose, c, SPAN_EMPTY);
        }
    return nheld == s->nheld && nempty == s->nempty && nqueued == nlisted;
}

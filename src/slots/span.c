/* SPDX-License-Identifier: MIT */
#include "slots/span.h"

enum { NO_UNIT = 0, QUEUE_SHARE = 16 };

/* An owner looks for itself; nobody needs to count for it. */
enum { HINT_NEVER = INT32_MAX / 2 };

static const struct region *region_of(const struct spans *s)
{
    return &s->chunks->region;
}

static size_t unit_bytes(const struct spans *s)
{
    return (size_t)1 << s->unit_shift;
}

static uint32_t unit_granules(const struct spans *s)
{
    return (uint32_t)(unit_bytes(s) / GRANULE_BYTES);
}

/* Units are aligned addresses, and counted from the one that the region begins in. */
uintptr_t spans_unit_address(const struct spans *s, uint32_t unit)
{
    return (((uintptr_t)region_of(s)->base >> s->unit_shift) + (unit - 1)) << s->unit_shift;
}

static uint32_t unit_of(const struct spans *s, uintptr_t address)
{
    uintptr_t base = (uintptr_t)region_of(s)->base;
    return (uint32_t)((address >> s->unit_shift) - (base >> s->unit_shift)) + 1;
}

static size_t nunits(const struct spans *s)
{
    return unit_of(s, (uintptr_t)region_of(s)->base + region_of(s)->nbytes - 1);
}

/* No span lies in a higher unit: above it nothing of the map was ever touched. */
static uint32_t nunits_used(const struct spans *s)
{
    uint32_t top = ledger_tail(&s->chunks->ledger).start;
    return top == 0 ? 0 : unit_of(s, (uintptr_t)region_at(region_of(s), top) - 1);
}

void spans_open(struct spans *s, struct chunks *chunks)
{
    enum { KEPT = 24 };
    *s = (struct spans){.chunks = chunks, .unit_shift = UNIT_SHIFT};
    while (s->unit_shift >= UNIT_SHIFT_MIN &&
           chunks->region.nbytes >> s->unit_shift >> NUNITS_SHIFT == 0)
        s->unit_shift--;
    size_t span_max = unit_bytes(s);
    if (chunks->region.nbytes >> s->unit_shift >> NUNITS_SHIFT >= WIDE_UNITS)
        span_max *= WIDE_UNITS;
    s->object_max = s->unit_shift < UNIT_SHIFT_MIN ? 0 : (uint32_t)(span_max >> SLOTS_SHIFT);
    s->nkept = chunks->list.head == NULL ? KEPT : 0;
}

/* Of 1 / UNITS of the region; as small ones as have any use. */
static unsigned small_unit_shift(size_t nbytes)
{
    enum { UNITS = 24 };
    unsigned shift = SMALL_UNIT_SHIFT_MIN;
    while (nbytes >> (shift + 1) >= UNITS && shift < UNIT_SHIFT)
        shift++;
    return shift;
}

void spans_open_small(struct spans *s, struct chunks *chunks)
{
    enum { KEPT = 4 };
    s->chunks = chunks;
    s->unit_shift = small_unit_shift(chunks->region.nbytes);
    s->object_max = (uint32_t)unit_bytes(s) >> SMALL_SLOTS_SHIFT;
    s->skipped = 1;
    s->nkept = (uint32_t)(chunks->region.nbytes >> s->unit_shift) / KEPT;
}

unsigned spans_nclasses(size_t nbytes)
{
    size_t small = (size_t)1 << small_unit_shift(nbytes) >> SMALL_SLOTS_SHIFT;
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

static uint32_t nunits_in(const struct span *span)
{
    return is_wide(span->slot_bytes) ? WIDE_UNITS : 1;
}

/* Only while there are spans. */
static uint32_t *queue_at(const struct spans *s, int purpose, unsigned sizeclass, bool empty)
{
    struct queues *q = (struct queues *)region_at(region_of(s), s->map) + purpose;
    return empty ? &q->empty[sizeclass] : &q->partial[sizeclass];
}

static uint32_t *queue_of(const struct spans *s, const struct span *span)
{
    return queue_at(s, span->purpose, span->sizeclass, span->status == SPAN_EMPTY);
}

static uint32_t first_of(const struct spans *s, int purpose, unsigned sizeclass, bool empty)
{
    return s->nheld > 0 ? *queue_at(s, purpose, sizeclass, empty) : NO_UNIT;
}

/* At the end: who waits longest is the first to be wanted, since by then most of it is free. */
static void queue_push(struct spans *s, uint32_t unit, enum span_status status)
{
    struct span *span = span_at(s, unit);
    span->status = (uint8_t)status;
    uint32_t *first = queue_of(s, span);
    if (*first == NO_UNIT)
        *first = span->next = span->previous = unit;
    span->next = *first;
    span->previous = span_at(s, *first)->previous;
    span_at(s, span->previous)->next = unit;
    span_at(s, *first)->previous = unit;
    s->nempty += status == SPAN_EMPTY ? nunits_in(span) : 0;
}

static void queue_remove(struct spans *s, uint32_t unit)
{
    struct span *span = span_at(s, unit);
    uint32_t *first = queue_of(s, span);
    if (*first == unit)
        *first = span->next == unit ? NO_UNIT : span->next;
    span_at(s, span->previous)->next = span->next;
    span_at(s, span->next)->previous = span->previous;
    s->nempty -= span->status == SPAN_EMPTY ? nunits_in(span) : 0;
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

uint32_t spans_map_granules(const struct spans *s)
{
    size_t nbytes = QUEUES_BYTES + nunits(s) * sizeof(struct span);
    return s->nheld > 0 ? (uint32_t)(nbytes / GRANULE_BYTES) : 0;
}

/* All is zero at first: the queues are empty, no unit is a span. */
static bool map_open(struct spans *s)
{
    const uint32_t line = sizeof(struct span) / GRANULE_BYTES;
    size_t nbytes = QUEUES_BYTES + nunits(s) * sizeof(struct span);
    uint32_t length = (uint32_t)(nbytes / GRANULE_BYTES);
    if (s->nheld > 0)
        return true;
    struct ledger before = s->chunks->ledger;
    if (!reserve(s, length, line, &s->map))
        return false;
    /* What nobody ever wrote to is zero, but for a node of the free list at its begin; it
     * may be large, and is not touched. Else entries are cleared as units are taken, but
     * for threads that look without the lock: for them at once. */
    bool is_fresh = region_of(s)->is_zero && ledger_is_fresh(&before, s->map, length);
    bool all = is_fresh || s->chunks->list.head == NULL;
    memset(region_at(region_of(s), s->map), 0,
           is_fresh ? GRANULE_BYTES
           : all    ? nbytes
                    : (size_t)QUEUES_BYTES);
    s->nclear = all ? (uint32_t)nunits(s) : 0;
    return true;
}

static void map_close(struct spans *s)
{
    if (s->nheld == 0)
        give_back(s, s->map);
}

static void map_clear_up_to(struct spans *s, uint32_t last)
{
    if (last <= s->nclear)
        return;
    memset(span_at(s, s->nclear + 1), 0, (last - s->nclear) * sizeof(struct span));
    s->nclear = last;
}

static uint32_t units_take(struct spans *s, uint32_t n)
{
    uint32_t start;
    if (!map_open(s))
        return NO_UNIT;
    if (!reserve(s, n * unit_granules(s), unit_granules(s), &start)) {
        map_close(s);
        return NO_UNIT;
    }
    uint32_t first = unit_of(s, (uintptr_t)region_at(region_of(s), start));
    map_clear_up_to(s, first + n - 1);
    for (uint32_t i = 1; i < n; i++)
        __atomic_store_n(&span_at(s, first + i)->back, i, __ATOMIC_RELAXED);
    s->nheld += n;
    s->nmade++;
    return first;
}

static uint32_t unit_granule(const struct spans *s, uint32_t unit)
{
    return (uint32_t)((spans_unit_address(s, unit) - (uintptr_t)region_of(s)->base) /
                      GRANULE_BYTES);
}

/* `visible` is 0 before and after: others may be looking. */
static void units_give_back(struct spans *s, uint32_t first, uint32_t n)
{
    struct span *span = span_at(s, first);
    assert(span->visible == 0 && span->visible_wide == 0);
    for (uint32_t i = 1; i < n; i++)
        __atomic_store_n(&span_at(s, first + i)->back, 0, __ATOMIC_RELAXED);
    memset(&span->slot_bytes, 0, sizeof *span - offsetof(struct span, slot_bytes));
    give_back(s, unit_granule(s, first));
    s->nheld -= n;
    map_close(s);
}

/* --- spans ------------------------------------------------------------------------- */

static void publish(struct span *span)
{
    uint32_t *visible = is_wide(span->slot_bytes) ? &span->visible_wide : &span->visible;
    bool seen = span->purpose == FOR_OBJECTS;
    __atomic_store_n(visible, seen ? span->reciprocal : 0, __ATOMIC_RELEASE);
}

static void unpublish(struct span *span)
{
    __atomic_store_n(&span->visible, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&span->visible_wide, 0, __ATOMIC_RELEASE);
}

static int32_t get_hint(const struct span *span)
{
    return __atomic_load_n(&span->hint, __ATOMIC_RELAXED);
}

static void set_hint(struct span *span, int32_t nfrees)
{
    __atomic_store_n(&span->hint, nfrees, __ATOMIC_RELAXED);
}

/* What is left over behind the last slot may be taken for one: it is always free.
 * Blocks fill cache lines, so that owners of two spans do not write to the same. */
static size_t block_bytes(const struct span *span)
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
    if (span->purpose != FOR_US)
        return 0;
    return GUARDS + (uint32_t)ceil_div(block_bytes(span), span->slot_bytes);
}

static bool block_place(struct spans *s, uint32_t unit)
{
    struct span *span = span_at(s, unit);
    void *block = span->purpose == FOR_US ? (void *)(spans_unit_address(s, unit) + span->slot_bytes)
                                          : spans_take_ours(s, block_bytes(span));
    if (block == NULL)
        return false;
    span->states = block;
    memset(block, 0, block_bytes(span));
    for (uint32_t i = 1; i < nreserved(span); i++)
        span_make_object(span->states, span->nslots, i - 1, 0);
    if (span->purpose == FOR_US)
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
    span->nslots = (uint16_t)(nunits_in(span) * unit_bytes(s) / span->slot_bytes);
    span->sizeclass = (uint8_t)sizeclass;
    span->search = 0;
    span->used = 0;
}

static uint32_t span_cut(struct spans *s, unsigned sizeclass, int purpose)
{
    uint32_t n = is_wide(sizeclass_bytes(sizeclass)) ? WIDE_UNITS : 1;
    uint32_t unit = units_take(s, n);
    if (unit == NO_UNIT)
        return NO_UNIT;
    struct span *span = span_at(s, unit);
    span_shape(s, span, sizeclass);
    span->purpose = (uint8_t)purpose;
    if (!block_place(s, unit)) {
        units_give_back(s, unit, n);
        return NO_UNIT;
    }
    return unit;
}

/* A new span is EMPTY, and in no queue yet. */
static uint32_t span_make(struct spans *s, unsigned sizeclass, int purpose)
{
    bool outermost = changes_begin(s);
    uint32_t unit = span_cut(s, sizeclass, purpose);
    changes_end(s, outermost);
    return unit;
}

/* Of an empty span, out of its queue, that nobody can be looking at any more. Its block
 * is freed after it, as that may empty the block's span. */
static void span_give_back(struct spans *s, uint32_t unit)
{
    struct span was = *span_at(s, unit);
    bool outermost = changes_begin(s);
    units_give_back(s, unit, nunits_in(&was));
    if (was.purpose == FOR_OBJECTS)
        spans_free_ours(s, was.states);
    changes_end(s, outermost);
}

/* An empty span of objects becomes one of another class, if its block is as large for both. Only
 * where nobody looks without the lock but at what changes. */
static bool span_recut(struct spans *s, uint32_t unit, unsigned sizeclass)
{
    struct span *span = span_at(s, unit), new = *span;
    span_shape(s, &new, sizeclass);
    if (is_wide(span->slot_bytes) || is_wide(new.slot_bytes) ||
        block_bytes(span) != block_bytes(&new))
        return false;
    queue_remove(s, unit);
    bool outermost = changes_begin(s);
    span_shape(s, span, sizeclass);
    memset(span->states, 0, block_bytes(span));
    changes_end(s, outermost);
    return true;
}

static uint32_t recut_any(struct spans *s, unsigned sizeclass)
{
    for (unsigned c = 0; c < NCLASSES && s->nempty > 0; c++) {
        uint32_t unit = first_of(s, FOR_OBJECTS, c, true);
        if (unit != NO_UNIT && span_recut(s, unit, sizeclass))
            return unit;
    }
    return NO_UNIT;
}

static void give_back_queue(struct spans *s, int purpose, unsigned sizeclass)
{
    uint32_t unit;
    while ((unit = first_of(s, purpose, sizeclass, true)) != NO_UNIT) {
        queue_remove(s, unit);
        span_give_back(s, unit);
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

/* Puts a span that nobody owns, and that is in no queue, where it belongs [S4]: in a
 * queue if at least `least` of its slots are free. */
static void settle(struct spans *s, uint32_t unit, uint32_t least)
{
    struct span *span = span_at(s, unit);
    uint32_t nfree = count_free(span), nlive = span->nslots - nfree;
    if (nlive == nreserved(span)) {
        unpublish(span);
        queue_push(s, unit, SPAN_EMPTY);
    } else if (nfree >= least) {
        set_hint(span, nfrees_until_empty(s, nlive - nreserved(span)));
        queue_push(s, unit, SPAN_QUEUED);
    } else {
        set_hint(span, (int32_t)(least - nfree));
        span->status = SPAN_FLOATING;
    }
}

static uint32_t share(uint32_t nslots)
{
    return (uint32_t)ceil_div(nslots, QUEUE_SHARE);
}

/* --- resting --------------------------------------------------------------------------- */

/* So many frees of a span that rests, and somebody takes it over. At most an eighth of it was
 * free before; and half of the steps may be lost. */
static int32_t rest_max(uint32_t nslots)
{
    return (int32_t)(nslots / 2 - nslots / 8);
}

void span_rest(struct span *span, uint32_t nslots, bool patient, const void *owner)
{
    set_hint(span, patient ? (int32_t)(nslots - nslots / 8) : rest_max(nslots));
    __atomic_store_n(&span->resting, owner, __ATOMIC_RELEASE);
}

static bool stop_resting(struct span *span, const void *owner)
{
    return __atomic_compare_exchange_n(&span->resting, &owner, NULL, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

bool span_wake(struct span *span, const void *owner)
{
    if (!stop_resting(span, owner))
        return false;
    set_hint(span, HINT_NEVER);
    return true;
}

bool span_has_rested(const struct span *span, uint32_t nslots)
{
    return get_hint(span) <= rest_max(nslots) - (int32_t)share(nslots);
}

static bool take_over(struct span *span)
{
    const void *owner = __atomic_load_n(&span->resting, __ATOMIC_RELAXED);
    return owner != NULL && stop_resting(span, owner);
}

static void recount(struct spans *s, uint32_t unit)
{
    struct span *span = span_at(s, unit);
    if (span->status == SPAN_QUEUED)
        queue_remove(s, unit);
    if (span->status == SPAN_QUEUED || span->status == SPAN_FLOATING)
        settle(s, unit, share(span->nslots));
    else if (span->status == SPAN_OWNED && take_over(span))
        settle(s, unit, share(span->nslots));
    else if (span->status == SPAN_OWNED && get_hint(span) <= 0)
        set_hint(span, HINT_NEVER); /* it has been in use for so long */
}

void spans_recount(struct spans *s, const void *address)
{
    uint32_t unit = s->nheld > 0 ? unit_of(s, (uintptr_t)address) : NO_UNIT;
    if (unit != NO_UNIT)
        recount(s, unit - span_at(s, unit)->back);
    if (are_enough_empty(s))
        give_back_empty(s);
}

void spans_release(struct spans *s, uint32_t unit)
{
    settle(s, unit, share(span_at(s, unit)->nslots));
    if (are_enough_empty(s))
        give_back_empty(s);
}

/* Not counted again: after that part of frees more. */
void spans_release_used(struct spans *s, uint32_t unit)
{
    struct span *span = span_at(s, unit);
    set_hint(span, (int32_t)share(span->nslots));
    span->status = SPAN_FLOATING;
}

/* Finds what hints have missed. */
static void look_at_all(struct spans *s, bool desperate)
{
    uint32_t n = s->nheld > 0 ? least(nunits_used(s), s->nclear) : 0;
    for (uint32_t unit = 1; unit <= n; unit++) {
        struct span *span = span_at(s, unit);
        if (span->status != SPAN_QUEUED && span->status != SPAN_FLOATING)
            continue;
        if (span->status == SPAN_QUEUED)
            queue_remove(s, unit);
        settle(s, unit, desperate ? 1 : share(span->nslots));
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

/* A span with free slots, in no queue and with no status; NO_UNIT if there is no room. */
static uint32_t span_get(struct spans *s, unsigned sizeclass, int purpose)
{
    uint32_t unit = first_of(s, purpose, sizeclass, false);
    if (unit == NO_UNIT && is_time_to_look(s)) {
        look_at_all(s, false);
        unit = first_of(s, purpose, sizeclass, false);
    }
    if (unit == NO_UNIT)
        unit = first_of(s, purpose, sizeclass, true);
    if (unit == NO_UNIT && purpose == FOR_OBJECTS && s->threads.first == NULL) {
        unit = recut_any(s, sizeclass);
        if (unit != NO_UNIT)
            return unit;
    }
    if (unit == NO_UNIT) {
        give_back_others(s);
        return span_make(s, sizeclass, purpose);
    }
    queue_remove(s, unit);
    return unit;
}

uint32_t spans_adopt(struct spans *s, unsigned sizeclass)
{
    uint32_t unit = span_get(s, sizeclass, FOR_OBJECTS);
    if (unit == NO_UNIT)
        return NO_UNIT;
    struct span *span = span_at(s, unit);
    span->status = SPAN_OWNED;
    set_hint(span, HINT_NEVER);
    publish(span);
    return unit;
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

/* The first span in the queue, or a new one there; NO_UNIT if there is no room. */
static uint32_t first_in_queue(struct spans *s, unsigned sizeclass, int purpose)
{
    uint32_t unit = first_of(s, purpose, sizeclass, false);
    if (unit != NO_UNIT)
        return unit;
    unit = span_get(s, sizeclass, purpose);
    if (unit == NO_UNIT)
        return NO_UNIT;
    publish(span_at(s, unit));
    set_hint(span_at(s, unit), 0);
    queue_push(s, unit, SPAN_QUEUED);
    return unit;
}

/* A free slot of the first span in the queue, which stays there. */
static bool slot_take(struct spans *s, unsigned sizeclass, int purpose, uint32_t slack,
                      struct slot *slot)
{
    uint32_t unit;
    while ((unit = first_in_queue(s, sizeclass, purpose)) != NO_UNIT) {
        struct span *span = span_at(s, unit);
        uint32_t index = first_free(span, span->search);
        if (index == span->nslots)
            index = first_free(span, 0);
        if (index == span->nslots) { /* the queue was wrong: there is none in this one */
            queue_remove(s, unit);
            settle(s, unit, share(span->nslots));
            continue;
        }
        span_make_object(span->states, span->nslots, index, slack);
        /* The lowest of large ones: the others may have no pages. */
        span->search = (uint16_t)(is_wide(span->slot_bytes) ? 0 : index + 1);
        set_hint(span, get_hint(span) + 1);
        *slot = (struct slot){.unit = unit, .index = index, .bytes = span->slot_bytes};
        return true;
    }
    return false;
}

static void *slot_address(const struct spans *s, const struct slot *slot)
{
    return (void *)(spans_unit_address(s, slot->unit) + (uintptr_t)slot->index * slot->bytes);
}

/* What a free without the lock does (cache.h), and then the recount that it may call for. */
static void slot_free(struct spans *s, uint32_t unit, uint32_t index)
{
    struct span *span = span_at(s, unit);
    bool positive = count_down(&span->hint);
    state_clear(span, index);
    if (!positive)
        recount(s, unit);
}

void *spans_take_ours(struct spans *s, size_t nbytes)
{
    struct slot slot;
    if (!slot_take(s, sizeclass_of(nbytes), FOR_US, 0, &slot))
        return NULL;
    return memset(slot_address(s, &slot), 0, nbytes);
}

void spans_free_ours(struct spans *s, void *ours)
{
    uint32_t unit = unit_of(s, (uintptr_t)ours);
    uint32_t into = (uint32_t)((uintptr_t)ours - spans_unit_address(s, unit));
    slot_free(s, unit, into / span_at(s, unit)->slot_bytes);
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
        bool any = first_of(s, FOR_OBJECTS, c, false) != NO_UNIT;
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
    uint32_t unit = unit_of(s, address);
    if (unit > s->nclear)
        return false;
    unit -= span_at(s, unit)->back;
    const struct span *span = span_at(s, unit);
    if (span->slot_bytes == 0)
        return false;
    uint32_t into = (uint32_t)(address - spans_unit_address(s, unit));
    uint64_t scaled = is_wide(span->slot_bytes) ? into >> WIDE_SHIFT : into;
    uint32_t index = (uint32_t)(scaled * span->reciprocal >> 32);
    *slot = (struct slot){.unit = unit,
                          .index = index,
                          .bytes = span->slot_bytes,
                          .into = into - index * span->slot_bytes,
                          .is_ours = span->purpose == FOR_US,
                          .is_rest = index >= span->nslots};
    /* Once: it may be freed between two looks. */
    uint32_t state = index < span->nslots ? state_get(span, index) : 0;
    slot->is_object = state != 0 && !slot->is_ours;
    slot->slack = slot->is_object ? slack_of(span->states, span->nslots, index, state) : 0;
    return true;
}

void spans_free(struct spans *s, const struct slot *slot)
{
    slot_free(s, slot->unit, slot->index);
    if (are_enough_empty(s))
        give_back_empty(s);
}

bool spans_resize(struct spans *s, const struct slot *slot, size_t nbytes)
{
    const struct span *span = span_at(s, slot->unit);
    return slot_suits(slot->bytes, slot->bytes - slot->slack, nbytes) &&
           span_resize_object(span->states, span->nslots, slot->index,
                              slot->bytes - (uint32_t)nbytes);
}

/* --- moving ------------------------------------------------------------------------ */

/* Where the block of a span would be after a move: in the region, with all that belongs
 * to it? */
static bool block_would_be_inside(const struct spans *s, const struct span *span, ptrdiff_t delta)
{
    size_t offset = (uintptr_t)span->states + (uintptr_t)delta - (uintptr_t)region_of(s)->base;
    return offset < region_of(s)->nbytes && block_bytes(span) <= region_of(s)->nbytes - offset;
}

/* False: some could not be moved; found out before any is. */
static bool move_all(struct spans *s, ptrdiff_t delta, bool really)
{
    for (uint32_t unit = 1; unit <= least(nunits_used(s), s->nclear); unit++) {
        struct span *span = span_at(s, unit);
        if (span->slot_bytes == 0)
            continue;
        if (!really && !block_would_be_inside(s, span, delta))
            return false;
        span->states += really ? delta : 0;
    }
    return true;
}

bool spans_move(struct spans *s, ptrdiff_t delta)
{
    size_t map = (size_t)s->map * GRANULE_BYTES + QUEUES_BYTES;
    if (s->unit_shift > UNIT_SHIFT || s->unit_shift < SMALL_UNIT_SHIFT_MIN || s->nclear > nunits(s))
        return false;
    if (s->nheld == 0)
        return true;
    return delta % (ptrdiff_t)unit_bytes(s) == 0 &&
           map + nunits(s) * sizeof(struct span) <= region_of(s)->nbytes &&
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
    return span->nslots * span->slot_bytes == nunits_in(span) * unit_bytes(s) ||
           state_get(span, span->nslots) == 0;
}

static bool span_is_valid(const struct spans *s, uint32_t unit)
{
    const struct span *span = span_at(s, unit);
    struct chunk chunk;
    uint32_t nfree, n = nunits_in(span);
    if (!states_are_valid(s, span, &nfree))
        return false;
    for (uint32_t i = 1; i < n; i++)
        if (span_at(s, unit + i)->back != i)
            return false;
    bool empty = nfree == span->nslots - nreserved(span);
    bool seen = span->purpose == FOR_OBJECTS && span->status != SPAN_EMPTY;
    return span->status != SPAN_NONE && (span->status != SPAN_EMPTY || empty) &&
           (span->visible | span->visible_wide) == (seen ? span->reciprocal : 0) &&
           ledger_find(&s->chunks->ledger, unit_granule(s, unit), &chunk) &&
           chunk.state == CHUNK_RESERVED && chunk.start == unit_granule(s, unit) &&
           chunk.length >= n * unit_granules(s);
}

/* How many spans are in the queue; more than there are units, if it is broken. */
static uint32_t queue_length(const struct spans *s, int purpose, unsigned sizeclass,
                             enum span_status status)
{
    uint32_t first = first_of(s, purpose, sizeclass, status == SPAN_EMPTY);
    uint32_t n = 0, unit = first;
    if (first == NO_UNIT)
        return 0;
    do {
        const struct span *span = unit <= nunits(s) ? span_at(s, unit) : NULL;
        if (n > s->nheld || span == NULL || span->purpose != purpose ||
            span->sizeclass != sizeclass || span->status != status || span->next == NO_UNIT ||
            span->next > nunits(s) || span_at(s, span->next)->previous != unit)
            return s->nheld + 1;
        unit = span->next;
        n++;
    } while (unit != first);
    return n;
}

bool spans_are_valid(const struct spans *s)
{
    uint32_t nheld = 0, nqueued = 0, nempty = 0, nlisted = 0;
    if (s->nheld == 0)
        return true;
    for (uint32_t unit = 1; unit <= least(nunits_used(s), s->nclear); unit++) {
        const struct span *span = span_at(s, unit);
        if (span->slot_bytes == 0)
            continue;
        if (!span_is_valid(s, unit))
            return false;
        nheld += nunits_in(span);
        nqueued += span->status == SPAN_QUEUED || span->status == SPAN_EMPTY;
        nempty += span->status == SPAN_EMPTY ? nunits_in(span) : 0;
    }
    for (int purpose = FOR_OBJECTS; purpose < NPURPOSES; purpose++)
        for (unsigned c = 0; c < NCLASSES; c++) {
            nlisted += queue_length(s, purpose, c, SPAN_QUEUED);
            nlisted += queue_length(s, purpose, c, SPAN_EMPTY);
        }
    return nheld == s->nheld && nempty == s->nempty && nqueued == nlisted;
}

/* SPDX-License-Identifier: MIT */
#include "span.h"

enum { NO_UNIT = 0, QUEUE_SHARE = 8 };

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

static struct span *span_at(const struct spans *s, uint32_t unit)
{
    return (struct span *)region_at(region_of(s), s->map) + (unit - 1);
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

static uint32_t nunits(const struct spans *s)
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
    enum { KEPT = 8 };
    *s = (struct spans){.chunks = chunks, .unit_shift = UNIT_SHIFT};
    while (s->unit_shift >= UNIT_SHIFT_MIN &&
           chunks->region.nbytes >> s->unit_shift >> NUNITS_SHIFT == 0)
        s->unit_shift--;
    s->object_max = s->unit_shift < UNIT_SHIFT_MIN ? 0 : (uint32_t)unit_bytes(s) >> SLOTS_SHIFT;
    s->nkept = chunks->list.head == NULL ? KEPT : 0;
}

/* --- states ---------------------------------------------------------------------- */

static unsigned char *states_of(const struct spans *s, const struct span *span)
{
    return region_of(s)->base + span->states;
}

static uint32_t state_get(const struct spans *s, const struct span *span, uint32_t index)
{
    return __atomic_load_n(states_of(s, span) + index, __ATOMIC_ACQUIRE);
}

static void state_clear(struct spans *s, const struct span *span, uint32_t index)
{
    __atomic_store_n(states_of(s, span) + index, 0, __ATOMIC_RELEASE);
}

void span_make_object(const struct span *span, unsigned char *states, uint32_t index,
                      uint32_t slack)
{
    if (is_wide(span->slot_bytes))
        __atomic_store_n(wide_slack(states, index), (uint16_t)slack, __ATOMIC_RELAXED);
    uint32_t state = is_wide(span->slot_bytes) ? 1 : slack + 1;
    __atomic_store_n(states + index, (uint8_t)state, __ATOMIC_RELEASE);
}

uint32_t span_slack(const struct span *span, unsigned char *states, uint32_t index)
{
    if (is_wide(span->slot_bytes))
        return __atomic_load_n(wide_slack(states, index), __ATOMIC_RELAXED);
    return __atomic_load_n(states + index, __ATOMIC_RELAXED) - 1u;
}

static uint32_t count_free(const struct spans *s, const struct span *span)
{
    uint32_t nfree = 0;
    for (uint32_t i = 0; i < span->nslots; i += STATES_AT_ONCE)
        nfree +=
            (uint32_t)__builtin_popcountll(free_slots(states_of(s, span) + i, span->nslots - i));
    return nfree;
}

/* --- the queues of a class ------------------------------------------------------- */

static uint32_t *queue_of(struct spans *s, const struct span *span)
{
    struct queues *q = &s->queues[span->purpose];
    return span->status == SPAN_EMPTY ? &q->empty[span->sizeclass] : &q->partial[span->sizeclass];
}

static void queue_push(struct spans *s, uint32_t unit, enum span_status status)
{
    struct span *span = span_at(s, unit);
    span->status = (uint8_t)status;
    uint32_t *head = queue_of(s, span);
    span->next = *head;
    span->previous = NO_UNIT;
    if (*head != NO_UNIT)
        span_at(s, *head)->previous = unit;
    *head = unit;
    s->nempty += status == SPAN_EMPTY;
}

static void queue_remove(struct spans *s, uint32_t unit)
{
    struct span *span = span_at(s, unit);
    if (span->previous != NO_UNIT)
        span_at(s, span->previous)->next = span->next;
    else
        *queue_of(s, span) = span->next;
    if (span->next != NO_UNIT)
        span_at(s, span->next)->previous = span->previous;
    s->nempty -= span->status == SPAN_EMPTY;
}

static bool is_queued(const struct span *span)
{
    return span->status == SPAN_QUEUED || span->status == SPAN_EMPTY;
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

/* The map is zero at first: no unit is a span. */
static bool map_open(struct spans *s)
{
    const uint32_t entry = sizeof(struct span) / GRANULE_BYTES;
    uint32_t used = s->chunks->ledger.used; /* before this */
    if (s->nspans > 0)
        return true;
    if (!reserve(s, nunits(s) * entry, entry, &s->map))
        return false;
    if (!region_of(s)->is_zero || s->map < used) /* else do not touch it: it may be large */
        memset(region_at(region_of(s), s->map), 0, nunits(s) * sizeof(struct span));
    return true;
}

static void map_close(struct spans *s)
{
    if (s->nspans == 0)
        give_back(s, s->map);
}

static uint32_t unit_take(struct spans *s)
{
    uint32_t start;
    if (!map_open(s))
        return NO_UNIT;
    if (!reserve(s, unit_granules(s), unit_granules(s), &start)) {
        map_close(s);
        return NO_UNIT;
    }
    s->nspans++;
    s->nmade++;
    return unit_of(s, (uintptr_t)region_at(region_of(s), start));
}

static uint32_t unit_granule(const struct spans *s, uint32_t unit)
{
    return (uint32_t)((spans_unit_address(s, unit) - (uintptr_t)region_of(s)->base) /
                      GRANULE_BYTES);
}

static void unit_give_back(struct spans *s, uint32_t unit)
{
    struct span *span = span_at(s, unit);
    assert(span->visible == 0); /* and stays so: others may be looking */
    memset(&span->hint, 0, sizeof *span - offsetof(struct span, hint));
    give_back(s, unit_granule(s, unit));
    s->nspans--;
    map_close(s);
}

/* --- spans ------------------------------------------------------------------------- */

static void publish(struct span *span)
{
    bool seen = span->purpose == FOR_OBJECTS;
    __atomic_store_n(&span->visible, seen ? span->reciprocal : 0, __ATOMIC_RELEASE);
}

static void unpublish(struct span *span)
{
    __atomic_store_n(&span->visible, 0, __ATOMIC_RELEASE);
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
static size_t block_bytes(const struct spans *s, const struct span *span)
{
    enum { LINE = 64 };
    size_t rest = unit_bytes(s) % span->slot_bytes != 0;
    size_t n = is_wide(span->slot_bytes) ? WIDE_OFFSET + sizeof(uint16_t) * span->nslots
                                         : span->nslots + rest;
    return ceil_div(n, LINE) * LINE;
}

/* A span of ours has its own block in its slots, and leaves the first and the last slot
 * alone: who writes a little over the end of an object next to it hits nothing. */
static uint32_t nreserved(const struct spans *s, const struct span *span)
{
    enum { GUARDS = 2 };
    if (span->purpose != FOR_US)
        return 0;
    return GUARDS + (uint32_t)ceil_div(block_bytes(s, span), span->slot_bytes);
}

static bool block_place(struct spans *s, uint32_t unit)
{
    struct span *span = span_at(s, unit);
    void *block = span->purpose == FOR_US ? (void *)(spans_unit_address(s, unit) + span->slot_bytes)
                                          : spans_take_ours(s, block_bytes(s, span));
    if (block == NULL)
        return false;
    span->states = region_offset(region_of(s), block);
    memset(block, 0, block_bytes(s, span));
    for (uint32_t i = 1; i < nreserved(s, span); i++)
        span_make_object(span, states_of(s, span), i - 1, 0);
    if (span->purpose == FOR_US)
        span_make_object(span, states_of(s, span), span->nslots - 1u, 0);
    return true;
}

/* A new span is EMPTY, and in no queue yet. */
static uint32_t span_make(struct spans *s, unsigned sizeclass, int purpose)
{
    uint32_t unit = unit_take(s), slot_bytes = sizeclass_bytes(sizeclass);
    if (unit == NO_UNIT)
        return NO_UNIT;
    struct span *span = span_at(s, unit);
    span->slot_bytes = slot_bytes;
    span->reciprocal = UINT32_MAX / slot_bytes + 1;
    span->nslots = (uint16_t)(unit_bytes(s) / slot_bytes);
    span->sizeclass = (uint8_t)sizeclass;
    span->purpose = (uint8_t)purpose;
    if (!block_place(s, unit)) {
        unit_give_back(s, unit);
        return NO_UNIT;
    }
    return unit;
}

/* Of an empty span, out of its queue, that nobody can be looking at any more. Its block
 * is freed after it, as that may empty the block's span. */
static void span_give_back(struct spans *s, uint32_t unit)
{
    struct span was = *span_at(s, unit);
    unit_give_back(s, unit);
    if (was.purpose == FOR_OBJECTS)
        spans_free_ours(s, region_of(s)->base + was.states);
}

static void give_back_queue(struct spans *s, uint32_t *queue)
{
    while (*queue != NO_UNIT) {
        uint32_t unit = *queue;
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
        for (unsigned c = 0; c < NCLASSES && s->nspans > 0; c++)
            give_back_queue(s, &s->queues[purpose].empty[c]);
}

/* To see that nobody is looking any more costs a system call if there are threads: wait until some spans
 * are empty, and also keep a few, to avoid take-free-take churn. */
static bool are_enough_empty(const struct spans *s)
{
    enum { PART = 8 };
    return s->nempty > s->nkept + (s->nkept > 0 ? s->nspans / PART : 0);
}

/* Puts a span that nobody owns, and that is in no queue, where it belongs [S4]: in a
 * queue if at least `least` of its slots are free. */
static void settle(struct spans *s, uint32_t unit, uint32_t least)
{
    struct span *span = span_at(s, unit);
    uint32_t nfree = count_free(s, span), nlive = span->nslots - nfree;
    if (nlive == nreserved(s, span)) {
        unpublish(span);
        queue_push(s, unit, SPAN_EMPTY);
    } else if (nfree >= least) {
        set_hint(span, (int32_t)(nlive - nreserved(s, span)));
        queue_push(s, unit, SPAN_QUEUED);
    } else {
        set_hint(span, (int32_t)(least - nfree));
        span->status = SPAN_FLOATING;
    }
}

static uint32_t share(const struct span *span)
{
    return (uint32_t)ceil_div(span->nslots, QUEUE_SHARE);
}

static void recount(struct spans *s, uint32_t unit)
{
    struct span *span = s->nspans > 0 ? span_at(s, unit) : NULL;
    if (span == NULL)
        return;
    if (span->status == SPAN_QUEUED)
        queue_remove(s, unit);
    if (span->status == SPAN_QUEUED || span->status == SPAN_FLOATING)
        settle(s, unit, share(span));
    else if (span->status == SPAN_OWNED)
        set_hint(span, HINT_NEVER);
}

void spans_recount(struct spans *s, const void *address)
{
    recount(s, unit_of(s, (uintptr_t)address));
    if (are_enough_empty(s))
        give_back_empty(s);
}

void spans_release(struct spans *s, uint32_t unit)
{
    settle(s, unit, share(span_at(s, unit)));
    if (are_enough_empty(s))
        give_back_empty(s);
}

/* Finds what hints have missed. */
static void look_at_all(struct spans *s, bool desperate)
{
    uint32_t n = s->nspans > 0 ? nunits_used(s) : 0;
    for (uint32_t unit = 1; unit <= n; unit++) {
        struct span *span = span_at(s, unit);
        if (span->status != SPAN_QUEUED && span->status != SPAN_FLOATING)
            continue;
        if (span->status == SPAN_QUEUED)
            queue_remove(s, unit);
        settle(s, unit, desperate ? 1 : share(span));
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
    return s->nmade >= LEAST && s->nmade >= s->nspans / 2;
}

/* A span with free slots, in no queue and with no status; NO_UNIT if there is no room. */
static uint32_t span_get(struct spans *s, unsigned sizeclass, int purpose)
{
    struct queues *q = &s->queues[purpose];
    if (q->partial[sizeclass] == NO_UNIT && is_time_to_look(s))
        look_at_all(s, false);
    uint32_t unit = q->partial[sizeclass];
    if (unit == NO_UNIT)
        unit = q->empty[sizeclass];
    if (unit == NO_UNIT)
        return span_make(s, sizeclass, purpose);
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
static uint32_t first_free(const struct spans *s, const struct span *span, uint32_t from)
{
    while (from < span->nslots && state_get(s, span, from) != 0)
        from++;
    return from;
}

/* A free slot of the first span in the queue, which stays there. */
static bool slot_take(struct spans *s, unsigned sizeclass, int purpose, uint32_t slack,
                      struct slot *slot)
{
    uint32_t unit;
    while ((unit = span_get(s, sizeclass, purpose)) != NO_UNIT) {
        struct span *span = span_at(s, unit);
        uint32_t index = first_free(s, span, span->search);
        if (index == span->nslots)
            index = first_free(s, span, 0);
        if (index == span->nslots) { /* the queue was wrong: there is none in this one */
            settle(s, unit, share(span));
            continue;
        }
        span_make_object(span, states_of(s, span), index, slack);
        span->search = (uint16_t)(index + 1);
        publish(span);
        set_hint(span, span->status == SPAN_QUEUED ? get_hint(span) + 1 : 1);
        queue_push(s, unit, SPAN_QUEUED);
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
    int32_t hint = get_hint(span) - 1;
    set_hint(span, hint);
    state_clear(s, span, index);
    if (hint <= 0)
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

void *spans_take(struct spans *s, size_t nbytes, size_t slot_bytes)
{
    return object_take(s, nbytes, sizeclass_of(nbytes > slot_bytes ? nbytes : slot_bytes));
}

void *spans_take_larger(struct spans *s, size_t nbytes)
{
    for (unsigned c = sizeclass_of(nbytes) + 1; c < NCLASSES; c++) {
        bool any = s->queues[FOR_OBJECTS].partial[c] != NO_UNIT;
        void *object = any ? object_take(s, nbytes, c) : NULL;
        if (object != NULL)
            return object;
    }
    return NULL;
}

bool spans_find(const struct spans *s, size_t offset, struct slot *slot)
{
    if (s->nspans == 0)
        return false;
    uintptr_t address = (uintptr_t)region_of(s)->base + offset;
    uint32_t unit = unit_of(s, address), into_unit = (uint32_t)(address & (unit_bytes(s) - 1));
    const struct span *span = span_at(s, unit);
    if (span->slot_bytes == 0)
        return false;
    uint32_t index = (uint32_t)((uint64_t)into_unit * span->reciprocal >> 32);
    *slot = (struct slot){.unit = unit,
                          .index = index,
                          .bytes = span->slot_bytes,
                          .into = into_unit - index * span->slot_bytes,
                          .is_ours = span->purpose == FOR_US};
    uint32_t state = index < span->nslots ? state_get(s, span, index) : 0;
    slot->is_object = state != 0 && !slot->is_ours;
    slot->slack = slot->is_object ? span_slack(span, states_of(s, span), index) : 0;
    return true;
}

void spans_free(struct spans *s, const struct slot *slot)
{
    slot_free(s, slot->unit, slot->index);
    if (are_enough_empty(s))
        give_back_empty(s);
}

bool slot_can_hold(uint32_t slot_bytes, size_t nbytes)
{
    /* Half of a large slot for nothing is too much, though it could be told. */
    return nbytes <= slot_bytes && slot_bytes - nbytes <= slack_max(slot_bytes) &&
           (nbytes >= slot_bytes / 2 || !is_wide(slot_bytes));
}

bool spans_resize(struct spans *s, const struct slot *slot, size_t nbytes)
{
    if (!slot_can_hold(slot->bytes, nbytes))
        return false;
    const struct span *span = span_at(s, slot->unit);
    span_make_object(span, states_of(s, span), slot->index, slot->bytes - (uint32_t)nbytes);
    return true;
}

/* --- check ------------------------------------------------------------------------- */

static bool span_is_valid(const struct spans *s, uint32_t unit)
{
    const struct span *span = span_at(s, unit);
    struct chunk chunk;
    uint32_t nfree = 0;
    for (uint32_t i = 0; i < span->nslots; i++) {
        uint32_t state = state_get(s, span, i);
        nfree += state == 0;
        if (state > span->slot_bytes + 1)
            return false;
    }
    bool empty = nfree == span->nslots - nreserved(s, span);
    bool seen = span->purpose == FOR_OBJECTS && span->status != SPAN_EMPTY;
    return span->status != SPAN_NONE && (span->status != SPAN_EMPTY || empty) &&
           span->visible == (seen ? span->reciprocal : 0) &&
           ledger_find(&s->chunks->ledger, unit_granule(s, unit), &chunk) &&
           chunk.state == CHUNK_RESERVED && chunk.start == unit_granule(s, unit) &&
           chunk.length >= unit_granules(s);
}

/* How many spans the queue holds; more than there are, if it is broken. */
static uint32_t queue_length(const struct spans *s, int purpose, unsigned sizeclass, bool empty)
{
    const struct queues *q = &s->queues[purpose];
    uint32_t n = 0, previous = NO_UNIT;
    for (uint32_t unit = empty ? q->empty[sizeclass] : q->partial[sizeclass]; unit != NO_UNIT;
         n++) {
        const struct span *span = unit <= nunits(s) ? span_at(s, unit) : NULL;
        if (n > s->nspans || span == NULL || span->purpose != purpose ||
            span->sizeclass != sizeclass || span->previous != previous ||
            span->status != (empty ? SPAN_EMPTY : SPAN_QUEUED))
            return s->nspans + 1;
        previous = unit;
        unit = span->next;
    }
    return n;
}

bool spans_are_valid(const struct spans *s)
{
    uint32_t nspans = 0, nqueued = 0, nempty = 0, nlisted = 0, nlisted_empty = 0;
    if (s->nspans == 0)
        return true;
    for (uint32_t unit = 1; unit <= nunits_used(s); unit++) {
        if (span_at(s, unit)->slot_bytes == 0)
            continue;
        if (!span_is_valid(s, unit))
            return false;
        nspans++;
        nqueued += is_queued(span_at(s, unit));
        nempty += span_at(s, unit)->status == SPAN_EMPTY;
    }
    for (int purpose = FOR_OBJECTS; purpose < NPURPOSES; purpose++)
        for (unsigned c = 0; c < NCLASSES; c++) {
            nlisted += queue_length(s, purpose, c, false);
            nlisted_empty += queue_length(s, purpose, c, true);
        }
    return nspans == s->nspans && nempty == s->nempty && nempty == nlisted_empty &&
           nqueued == nlisted + nlisted_empty;
}

/* SPDX-License-Identifier: MIT
 *
 * verify.c - checks the page map, the spans and their states, and makes anew what follows from
 * them. Invariants: verify.h.
 *
 * In this order: entries, state arrays, states, what is given, what follows, made anew.
 */
#include "slots/verify.h"

#include "slots/queue.h"

/* --- entries ---------------------------------------------------------------------- */

/* Returns how many entries say anything: no span lies above [PM2]. */
static uint32_t nentries(const struct spans *s)
{
    return least(pagemap_nslices_used(s), s->nclear);
}

/* Returns whether an entry says that no span begins in its slice, which is `back` slices behind the
 * first one of a span, or else in none. The countdown and the states are what a span left there. */
static bool entry_is_clear(const struct span *span, uint32_t back)
{
    enum { FIRST = offsetof(struct span, slot_bytes), NBYTES = sizeof(struct span) - FIRST };
    static const unsigned char zero[NBYTES];
    return span->reciprocal_published == 0 && span->reciprocal_published_wide == 0 &&
           span->back == back && span->parked_by == NULL &&
           memcmp(&span->slot_bytes, zero, NBYTES) == 0;
}

/* Returns whether the ledger has a chunk of the library's own there. */
static bool is_reserved(const struct spans *s, uint32_t start, size_t ngranules)
{
    struct chunk c;
    return ledger_find(&s->chunks->ledger, start, &c) && c.start == start &&
           c.state == CHUNK_RESERVED && c.length >= ngranules;
}

/* The class says all other numbers, so each of them is compared with what the class makes it. */
bool span_is_shaped(const struct spans *s, uint32_t slice)
{
    const struct span *span = pagemap_span(s, slice);
    if (span->sizeclass >= NCLASSES || span->purpose >= NPURPOSES ||
        (span->purpose == FOR_METADATA && span->sizeclass != LINE_CLASS))
        return false;
    uint32_t slot_bytes = sizeclass_bytes(span->sizeclass);
    if (span->slot_bytes != slot_bytes || slot_bytes > s->object_max ||
        sizeclass_of(slot_bytes) != span->sizeclass || !span_has_length(span))
        return false;
    const struct region *r = spans_region(s);
    size_t nbytes = span_nslices(span) * slice_bytes(s);
    size_t offset = region_offset(r, (const void *)pagemap_address(s, slice));
    return span->nslots == span_nslots(s, span) &&
           span->reciprocal == slot_reciprocal(slot_bytes) && offset < r->nbytes &&
           nbytes <= r->nbytes - offset;
}

/* Returns whether all entries of a span agree, and the ledger knows its slices as one chunk. */
static bool entries_are_valid(const struct spans *s, uint32_t slice)
{
    const struct span *span = pagemap_span(s, slice);
    if (!span_is_shaped(s, slice) || span->back != 0)
        return false;
    uint32_t n = span_nslices(span);
    for (uint32_t i = 1; i < n; i++)
        if (!entry_is_clear(span + i, i))
            return false;
    return is_reserved(s, pagemap_granule(s, slice), (size_t)n * slice_granules(s));
}

/* --- state arrays ------------------------------------------------------------------ */

/* Returns where the state array of a span is, if it is where the entry says. */
static unsigned char *states_at(const struct span *span, ptrdiff_t moved)
{
    return (unsigned char *)((uintptr_t)span->states + (uintptr_t)moved);
}

/* Returns the first slot of a metadata span that spans_take_metadata hands out. The last one that
 * it hands out is the last but one of the span (span_nreserved). */
static uint32_t first_handed_out(const struct span *span)
{
    return span_nreserved(span) - 1;
}

/* Returns a number for one slot of a region. The sums of such numbers are equal for two sets of
 * slots if the sets are, and else in one case of 2^64. */
static uint64_t number_of(uint32_t slice, uint32_t index)
{
    uint64_t n = ((uint64_t)slice << 32 | index) * 0x9E3779B97F4A7C15;
    n = (n ^ n >> 32) * 0xD6E8FEB86659FD93;
    return n ^ n >> 32;
}

/* Returns whether the states of a metadata span are in its own slots, which are never handed out,
 * and each slot is free or has no slack. */
static bool own_states_are_valid(const struct spans *s, uint32_t slice, ptrdiff_t moved)
{
    const struct span *span = pagemap_span(s, slice);
    const unsigned char *states = states_at(span, moved);
    assert(span_nreserved(span) < span->nslots); /* of each span that is shaped as one */
    if ((uintptr_t)states != pagemap_address(s, slice) + span->slot_bytes)
        return false;
    uint32_t first = first_handed_out(span), end = span->nslots - 1u;
    for (uint32_t i = 0; i <= end; i++)
        if (state_get(states, i) > 1 || (state_get(states, i) == 0 && (i < first || i == end)))
            return false;
    return state_get(states, span->nslots) == 0;
}

/* Returns whether the states of a span of objects are in lines of a metadata span that are in use.
 * Stores the sum of the numbers of these lines. All entries were checked. */
static bool state_array_is_valid(const struct spans *s, const struct span *span, ptrdiff_t moved,
                                 uint64_t *number)
{
    uintptr_t address = (uintptr_t)states_at(span, moved);
    if (address - (uintptr_t)spans_region(s)->base >= spans_region(s)->nbytes)
        return false;
    uint32_t slice = pagemap_slice(s, address);
    if (slice > nentries(s))
        return false;
    const struct span *around = pagemap_span(s, slice);
    size_t into = address - pagemap_address(s, slice);
    uint32_t index = (uint32_t)(into / LINE_BYTES);
    uint32_t n = (uint32_t)(state_array_bytes(span->nslots, span->slot_bytes) / LINE_BYTES);
    if (around->slot_bytes == 0 || around->purpose != FOR_METADATA || into % LINE_BYTES != 0 ||
        index < first_handed_out(around) || index + n >= around->nslots)
        return false;
    *number = 0;
    for (uint32_t i = index; i < index + n; i++) {
        if (state_get(states_at(around, moved), i) == 0)
            return false;
        *number += number_of(slice, i);
    }
    return true;
}

/* --- states ---------------------------------------------------------------------- */

/* Returns whether each state of a span of objects can be [ST3, ST4], and counts the objects. */
static bool states_are_valid(const struct span *span, ptrdiff_t moved, struct recount *n)
{
    unsigned char *states = states_at(span, moved);
    uint32_t slot_bytes = span->slot_bytes;
    bool has_far = slot_bytes > ALL_NEAR_MAX;
    for (uint32_t i = 0; i < span->nslots; i++) {
        uint32_t state = state_get(states, i);
        if (state == 0)
            continue;
        if (state_is_far(state) && !has_far)
            return false;
        uint32_t slack = slack_of(states, span->nslots, i, state);
        if (slack > slot_bytes)
            return false;
        n->nobjects++;
        n->object_bytes += slot_bytes - slack;
    }
    return state_get(states, span->nslots) == 0;
}

/* Adds the numbers of all slots of a metadata span that are in use. */
static uint64_t add_numbers(const struct spans *s, uint32_t slice, ptrdiff_t moved)
{
    const struct span *span = pagemap_span(s, slice);
    uint64_t sum = 0;
    for (uint32_t i = first_handed_out(span); i + 1 < span->nslots; i++)
        if (state_get(states_at(span, moved), i) != 0)
            sum += number_of(slice, i);
    return sum;
}

/* --- what is given ----------------------------------------------------------------- */

/* Checks all entries, and the state arrays of metadata spans, which the others are found by. Stores
 * how many spans there are. */
static bool all_entries_are_valid(const struct spans *s, ptrdiff_t moved, uint32_t *nspans)
{
    uint32_t end = nentries(s);
    *nspans = 0;
    for (uint32_t slice = 1, n = 1; slice <= end; slice += n) {
        const struct span *span = pagemap_span(s, slice);
        n = 1;
        if (span->slot_bytes == 0 && !entry_is_clear(span, 0))
            return false;
        if (span->slot_bytes == 0)
            continue;
        if (!entries_are_valid(s, slice) ||
            (span->purpose == FOR_METADATA && !own_states_are_valid(s, slice, moved)))
            return false;
        n = span_nslices(span);
        ++*nspans;
    }
    return true;
}

/* Checks the states of all objects. Without caches of threads metadata spans have state arrays
 * only. */
static bool all_states_are_valid(const struct spans *s, ptrdiff_t moved, bool has_tcaches,
                                 struct recount *n)
{
    uint64_t arrays = 0, taken = 0, number;
    uint32_t end = nentries(s);
    for (uint32_t slice = 1; slice <= end; slice++) {
        const struct span *span = pagemap_span(s, slice);
        if (span->slot_bytes != 0 && span->purpose == FOR_METADATA)
            taken += add_numbers(s, slice, moved);
        if (span->slot_bytes == 0 || span->purpose == FOR_METADATA)
            continue;
        if (!state_array_is_valid(s, span, moved, &number) || !states_are_valid(span, moved, n))
            return false;
        arrays += number;
    }
    return has_tcaches || arrays == taken;
}

/* The page map and each span have a chunk, and these are different ones; so their number says that
 * each chunk of the library's own is one of them. */
const char *spans_fault(const struct spans *s, ptrdiff_t moved, bool has_tcaches, struct recount *n)
{
    uint32_t nspans;
    if (!pagemap_is_there(s))
        return n->nreserved == 0 ? NULL : "slices are in use, and there is no map of them";
    if (s->nclear > pagemap_nslices(s) || !is_reserved(s, s->pagemap, pagemap_granules(s)) ||
        (uintptr_t)region_at(spans_region(s), s->pagemap) % sizeof(struct span) != 0)
        return "the map of the slices is not where it should be";
    if (!all_entries_are_valid(s, moved, &nspans) || nspans + 1 != n->nreserved)
        return "the map of the slices contradicts itself or the ledger";
    return all_states_are_valid(s, moved, has_tcaches, n) ? NULL
                                                          : "the states of the slots cannot be";
}

/* What lies there was zeroed when the page map was made, or when the span there went. An entry that
 * is no longer so would become part of the next span. */
bool spans_rest_is_clear(const struct spans *s)
{
    if (!pagemap_is_there(s))
        return true;
    for (uint32_t slice = nentries(s) + 1; slice <= s->nclear; slice++)
        if (!entry_is_clear(pagemap_span(s, slice), 0))
            return false;
    return true;
}

/* --- what follows ------------------------------------------------------------------ */

/* Returns whether a countdown is not too long: it ends before the last object of a PARTIAL span is
 * freed, and when a FULL span becomes PARTIAL. One that is too short only ends early. If frees may
 * have lost steps, or an owner looks at the states itself, it may be longer. */
static bool countdown_is_valid(const struct span *span, uint32_t nfree, uint32_t nlive,
                               bool had_tcaches)
{
    int64_t n = span_countdown(span), share = span_share(span->nslots);
    if (had_tcaches || span->status == SPAN_OWNED)
        return n <= INT32_MAX / 2 && n >= INT32_MIN / 2;
    return n >= INT32_MIN / 2 && n <= (span->status == SPAN_PARTIAL ? nlive : share - nfree);
}

/* Returns whether the countdowns of all spans are exact [SP7]: no two threads can have freed at the
 * same time, and none is in the middle of a free. */
static bool countdowns_are_exact(const struct spans *s)
{
    return !s->may_have_raced && (s->threads.first == NULL || thread_is_the_only());
}

/* Returns whether the fields of a span agree that depend on its status and its states: an EMPTY
 * span has nothing but its reserved slots, and readers see no EMPTY span; only a thread parks a
 * span, and a metadata span has no owner. */
static bool links_are_valid(const struct span *span, bool had_tcaches)
{
    bool wide = is_wide(span->slot_bytes), owned = span->status == SPAN_OWNED;
    bool seen = span->purpose == FOR_OBJECTS && span->status != SPAN_EMPTY;
    bool may_be_parked = owned && had_tcaches;
    uint32_t published = seen ? span->reciprocal : 0;
    if (span->status == SPAN_NONE || span->status > SPAN_EMPTY ||
        (owned && span->purpose != FOR_OBJECTS) || (!may_be_parked && span->parked_by != NULL))
        return false;
    if (span->reciprocal_published != (wide ? 0 : published) ||
        span->reciprocal_published_wide != (wide ? published : 0))
        return false;
    if (span->search > span->nslots || span_used(span) > span->nslots)
        return false;
    uint32_t nfree = states_count_free(span->states, span->nslots);
    uint32_t nlive = span->nslots - span_nreserved(span) - nfree;
    return span->status == SPAN_EMPTY ? nlive == 0
                                      : countdown_is_valid(span, nfree, nlive, had_tcaches);
}

/* Returns how many spans are in queues; too many, if a queue is broken. */
static uint64_t queues_length(const struct spans *s)
{
    uint64_t n = 0;
    for (int purpose = FOR_OBJECTS; purpose < NPURPOSES; purpose++)
        for (unsigned c = 0; c < NCLASSES; c++) {
            n += queue_length(s, purpose, c, SPAN_PARTIAL);
            n += queue_length(s, purpose, c, SPAN_EMPTY);
        }
    return n;
}

/* A span that is lost from its queue, or in two, makes the numbers differ. */
const char *spans_links_fault(const struct spans *s, bool had_tcaches)
{
    uint32_t nheld = 0, nqueued = 0, nempty = 0;
    if (s->nheld == 0)
        return s->nempty == 0 ? NULL : "the heap has other spans than it counts";
    bool is_exact = countdowns_are_exact(s);
    uint32_t end = nentries(s);
    for (uint32_t slice = 1; slice <= end; slice++) {
        const struct span *span = pagemap_span(s, slice);
        if (span->slot_bytes == 0)
            continue;
        if (!links_are_valid(span, had_tcaches))
            return "the status of a span contradicts its slots";
        if (is_exact && span_nfree(span) != states_count_free(span->states, span->nslots))
            return "the countdown of a span contradicts its slots";
        nheld += span_nslices(span);
        nqueued += span->status == SPAN_PARTIAL || span->status == SPAN_EMPTY;
        nempty += span->status == SPAN_EMPTY ? span_nslices(span) : 0;
    }
    if (nheld != s->nheld || nempty != s->nempty)
        return "the heap has other spans than it counts";
    return queues_length(s) == nqueued ? NULL : "a queue of spans is broken";
}

/* --- made anew --------------------------------------------------------------------- */

/* The span has no owner and is in no queue at first; then it goes where it belongs. */
static void span_make_anew(struct spans *s, uint32_t slice)
{
    struct span *span = pagemap_span(s, slice);
    span->reciprocal_published = span->reciprocal_published_wide = 0;
    span->status = SPAN_OWNED; /* by no thread any longer, and in no queue */
    span->parked_by = NULL;
    span->search = span->used = 0;
    span_publish(span);
    span_requeue(s, slice, span_share(span->nslots));
}

/* State arrays are the only addresses in the page map, apart from owners, which have gone. */
void spans_move(struct spans *s, ptrdiff_t moved)
{
    for (uint32_t slice = 1, end = nentries(s); slice <= end; slice++)
        if (pagemap_span(s, slice)->slot_bytes != 0)
            pagemap_span(s, slice)->states = states_at(pagemap_span(s, slice), moved);
}

/* The queues are emptied, and each span goes where its states say; so it does not matter in which
 * queue it was, or whether it was in one. What it was counted as before is not looked at. */
void spans_make_anew(struct spans *s, ptrdiff_t moved)
{
    if (!pagemap_is_there(s))
        return;
    spans_move(s, moved);
    s->nheld = s->nempty = 0;
    s->nclear = (uint32_t)pagemap_nslices(s);
    memset(region_at(spans_region(s), s->pagemap), 0, QUEUES_BYTES);
    for (uint32_t slice = 1, end = nentries(s); slice <= end; slice++)
        if (pagemap_span(s, slice)->slot_bytes != 0) {
            s->nheld += span_nslices(pagemap_span(s, slice));
            span_make_anew(s, slice);
        }
    spans_give_back_empty(s);
}

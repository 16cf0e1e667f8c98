/* SPDX-License-Identifier: MIT
 *
 * span.c - the life of a span: made, owned, parked, counted, queued, given back.
 * Invariants: span.h.
 *
 * In this order: the countdown, what readers see, making and giving back, the status, parking,
 * and spans for an owner.
 */
#include "slots/span.h"

#include "base/os.h"
#include "base/seqcount.h"
#include "slots/queue.h"
#include "slots/spans.h"

/* A span is PARTIAL when a QUEUE_SHARE-th of it is free: an owner of less would soon be back. */
enum { QUEUE_SHARE = 16 };

/* The countdown of a span that is owned and not parked: its owner looks at the states itself, so
 * no free has to end the countdown. */
enum { COUNTDOWN_NEVER = INT32_MAX / 2 };

/* --- the countdown ---------------------------------------------------------------- */

/* Returns by how many the countdown is below that of a full span. */
static int64_t span_counted(const struct span *span)
{
    int32_t if_full = __atomic_load_n(&span->countdown_if_full, __ATOMIC_RELAXED);
    return (int64_t)if_full - span_countdown(span);
}

/* Returns what SP7 says. Frees that raced with a countdown that was set may have undone that, so
 * any number is possible until the next free, which then ends the countdown. */
static uint32_t nfree_by_countdown(const struct span *span)
{
    int64_t nfree = span_counted(span);
    return nfree < 0 ? 0 : nfree < span->nslots ? (uint32_t)nfree : span->nslots;
}

/* Returns whether an owner takes slots of the span just now. */
static bool is_in_use_by_owner(const struct span *span)
{
    return span->status == SPAN_OWNED &&
           __atomic_load_n(&span->parked_by, __ATOMIC_ACQUIRE) == NULL;
}

/* The owner takes slots without counting up, so only the states can say how many it has left. */
uint32_t span_nfree(const struct span *span)
{
    return is_in_use_by_owner(span) ? states_count_free(span->states, span->nslots)
                                    : nfree_by_countdown(span);
}

/* Lets a countdown begin anew, where nfree slots are free [SP7]. An owner does so without the lock,
 * just before the lock holder may read it. */
static void countdown_begin(struct span *span, uint32_t nfree, int32_t nfrees)
{
    assert(nfree <= span->nslots);
    span_set_countdown(span, nfrees);
    __atomic_store_n(&span->countdown_if_full, (int32_t)nfree + nfrees, __ATOMIC_RELAXED);
}

/* Lets the countdown of a span without an owner, or parked, begin anew without counting. */
void span_restart_countdown(struct span *span, int32_t nfrees)
{
    countdown_begin(span, nfree_by_countdown(span), nfrees);
}

/* --- what readers see ------------------------------------------------------------- */

/* The reciprocal is stored last, with release: all that a reader finds by it was written before.
 * A metadata span is never published, since nothing in it is the caller's to free. */
void span_publish(struct span *span)
{
    assert(span->slot_bytes != 0 && span->states != NULL);
    assert(span->reciprocal == slot_reciprocal(span->slot_bytes));
    uint32_t *reciprocal_published =
        is_wide(span->slot_bytes) ? &span->reciprocal_published_wide : &span->reciprocal_published;
    bool seen = span->purpose == FOR_OBJECTS;
    __atomic_store_n(reciprocal_published, seen ? span->reciprocal : 0, __ATOMIC_RELEASE);
}

/* From now on no thread cache finds a slot here. A reader that has begun may still free one. */
static void span_unpublish(struct span *span)
{
    __atomic_store_n(&span->reciprocal_published, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&span->reciprocal_published_wide, 0, __ATOMIC_RELEASE);
}

/* --- making and giving back -------------------------------------------------------- */

/* [unused][state array of its own ...][slot] ... [slot][unused] */
uint32_t span_nreserved(const struct span *span)
{
    enum { GUARDS = 2 };
    if (span->purpose != FOR_METADATA)
        return 0;
    return GUARDS +
           (uint32_t)ceil_div(state_array_bytes(span->nslots, span->slot_bytes), span->slot_bytes);
}

/* Gives a new span its state array, all 0. A metadata span has it in its own slots, from the
 * second on; all slots that are reserved are objects from now on, so that none is ever handed
 * out. Returns false if there is no room. */
static bool states_place(struct spans *s, uint32_t slice)
{
    struct span *span = pagemap_span(s, slice);
    assert(span->purpose != FOR_METADATA || span_nreserved(span) < span->nslots);
    void *states_at =
        span->purpose == FOR_METADATA
            ? (void *)(pagemap_address(s, slice) + span->slot_bytes)
            : spans_take_metadata(s, state_array_bytes(span->nslots, span->slot_bytes));
    if (states_at == NULL)
        return false;
    span->states = states_at;
    memset(states_at, 0, state_array_bytes(span->nslots, span->slot_bytes));
    for (uint32_t i = 1; i < span_nreserved(span); i++)
        state_make_object(span->states, span->nslots, i - 1, 0);
    if (span->purpose == FOR_METADATA)
        state_make_object(span->states, span->nslots, span->nslots - 1u, 0);
    return true;
}

/* Notes which slots of a new span are clean [ST5], where `clean` is the clean part of its slices.
 * Its state array is all 0.
 *
 *     slots       [slot 0][slot 1][slot 2] ... [slot n-1][rest]
 *     clean            [------------------ ... ---------------]
 *     far slack   [  0   ][FAR_CL][FAR_CL] ... [ FAR_CL ]
 *
 * The mark costs malloc nothing: each large slot that is taken gets another far slack anyway. */
static void states_note_clean(const struct spans *s, uint32_t slice, struct interval clean)
{
    const struct span *span = pagemap_span(s, slice);
    uint32_t ngranules = span->slot_bytes / GRANULE_BYTES, start = pagemap_granule(s, slice);
    for (uint32_t i = 0; i < span->nslots; i++, start += ngranules)
        if (start >= clean.start && start + ngranules <= clean.end)
            *far_slack(span->states, span->nslots, i) = FAR_CLEAN;
}

/* Begins a change that lookups must not see half done. To make a span may make a metadata span
 * first, so one change may lie within another: returns whether this is the outermost one. */
static bool changes_begin(struct spans *s)
{
    if (s->changes % 2 != 0)
        return false;
    change_begin(&s->changes);
    return true;
}

/* Ends a change, if it is the outermost one. */
static void changes_end(struct spans *s, bool outermost)
{
    assert(s->changes % 2 == 1);
    if (outermost)
        change_end(&s->changes);
}

/* Cuts a span into the slots of a class. Its states are not touched. */
static void span_shape(const struct spans *s, struct span *span, unsigned sizeclass)
{
    assert(sizeclass < NCLASSES);
    span->slot_bytes = sizeclass_bytes(sizeclass);
    span->reciprocal = slot_reciprocal(span->slot_bytes);
    span->sizeclass = (uint8_t)sizeclass;
    span->nslots = (uint16_t)span_nslots(s, span);
    assert(span->nslots > 0);
    assert(span->nslots * span->slot_bytes <= span_nslices(span) * slice_bytes(s));
    span->search = 0;
    span->used = 0;
}

/* Closes the end of a new span [SP8]. Each closed end takes two of the mappings that a process may
 * have, of which the system allows 65,530: so only the first GiB of spans has them. */
static void span_close(const struct spans *s, uint32_t slice)
{
    enum { NCLOSED_MAX = 16384 }; /* half of them: the rest is for the program */
    const struct span *span = pagemap_span(s, slice);
    size_t from = span_closed_from(s, span), to = span_nslices(span) * slice_bytes(s);
    if (from < to && s->nheld <= NCLOSED_MAX)
        (void)os_forbid((void *)(pagemap_address(s, slice) + from), to - from);
}

/* Opens the end of a span that is about to go back. Returns false if the system refuses. */
static bool span_open(const struct spans *s, uint32_t slice)
{
    const struct span *span = pagemap_span(s, slice);
    size_t from = span_closed_from(s, span), to = span_nslices(span) * slice_bytes(s);
    /* A span of which nothing is closed costs no system call. */
    return from == to || os_allow((void *)(pagemap_address(s, slice) + from), to - from);
}

/* Returns whether several threads have caches. */
static bool threads_are_several(const struct spans *s)
{
    return s->threads.first != NULL && s->threads.first->next != NULL;
}

/* Returns how many slices a new span of the class gets. A thread that is alone rarely has to change
 * from one long span to another; several threads would each keep one. */
static uint32_t nslices_for(const struct spans *s, unsigned sizeclass)
{
    uint32_t most = nslices_max(sizeclass_bytes(sizeclass));
    return threads_are_several(s) ? least(most, WIDE_SLICES) : most;
}

/* Gives most memory of a new large-slot span back to the system, unless half of it is clean, and
 * returns what is clean then. An eighth of its slots come into use first, and keep their pages;
 * most of the other pages that an object has left there would stay for nothing, in a span for each
 * class of each thread. Only a heap that knows what is clean gives memory back. */
static struct interval slices_clear(const struct spans *s, uint32_t slice, uint32_t n,
                                    struct interval clean)
{
    enum { PART = 8 };
    uint32_t first = slice + n / PART, end = slice + n;
    uint32_t half = n * slice_granules(s) / 2;
    bool is_clean = clean.start < clean.end && clean.end - clean.start >= half;
    if (is_clean || s->chunks->clean == NULL ||
        !os_give_back((void *)pagemap_address(s, first), (end - first) * slice_bytes(s)))
        return clean;
    return (struct interval){pagemap_granule(s, first), pagemap_granule(s, slice) + 2 * half};
}

/* Takes the slices of a new span and gives it its shape and its state array. Returns NO_SLICE if
 * there is no room. */
static uint32_t span_cut(struct spans *s, unsigned sizeclass, int purpose)
{
    assert(purpose == FOR_OBJECTS || purpose == FOR_METADATA);
    uint32_t n = nslices_for(s, sizeclass);
    uint32_t slice = slices_take(s, n);
    if (slice == NO_SLICE)
        return NO_SLICE;
    struct interval clean = chunks_clean_part(s->chunks); /* before more slices are taken */
    if (n > 1 && threads_are_several(s))
        clean = slices_clear(s, slice, n, clean);
    struct span *span = pagemap_span(s, slice);
    span->purpose = (uint8_t)purpose;
    span->nslices = (uint8_t)n;
    span_shape(s, span, sizeclass);
    /* This may make a metadata span first, and so take more slices. */
    if (!states_place(s, slice)) {
        slices_give_back(s, slice, n);
        return NO_SLICE;
    }
    if (clean.end > clean.start && purpose == FOR_OBJECTS && span->slot_bytes > CLEAN_FROM)
        states_note_clean(s, slice, clean);
    countdown_begin(span, span->nslots - span_nreserved(span), 0);
    span_close(s, slice);
    return slice;
}

/* Makes a span, all free, which is in no queue and not published. Returns NO_SLICE if there is
 * no room. */
static uint32_t span_make(struct spans *s, unsigned sizeclass, int purpose)
{
    bool outermost = changes_begin(s);
    uint32_t slice = span_cut(s, sizeclass, purpose);
    changes_end(s, outermost);
    return slice;
}

/* Gives an empty span back, which is out of its queue, and which no reader can be looking at any
 * longer. Its state array is freed after that, as this may empty the metadata span that the
 * state array lies in. */
static void span_give_back(struct spans *s, uint32_t slice)
{
    struct span was = *pagemap_span(s, slice);
    assert(was.status == SPAN_EMPTY);
    assert(states_count_free(was.states, was.nslots) == was.nslots - span_nreserved(&was));
    /* entry [span] => [0]; slices: a chunk of the library's own => free chunk;
     * state array: a metadata object => free slot. */
    bool outermost = changes_begin(s);
    /* Objects that get this memory must not find states in it. */
    if (s->clears && was.purpose == FOR_METADATA)
        memset((void *)pagemap_address(s, slice), 0, slice_bytes(s));
    slices_give_back(s, slice, span_nslices(&was));
    if (was.purpose == FOR_OBJECTS) {
        s->nshunned[was.sizeclass] = s->nkept == 0 ? NSHUNNED : 0; /* count_shunned */
        spans_free_metadata(s, was.states, state_array_bytes(was.nslots, was.slot_bytes));
    }
    changes_end(s, outermost);
}

/* Returns whether an EMPTY span can be recut for a class: it is as long as a new span of the class
 * would be, and as much of it would be closed [SP8]. Does not read the countdown, since a reader
 * may still be counting down. */
static bool is_recuttable(const struct spans *s, const struct span *span, unsigned sizeclass)
{
    bool was_closed = span->sizeclass == CLOSED_CLASS, is_closed = sizeclass == CLOSED_CLASS;
    return span_nslices(span) == nslices_for(s, sizeclass) &&
           (s->guard_bytes == 0 || was_closed == is_closed);
}

/* Makes an EMPTY span of objects one of another class, out of its queue. Returns false, and changes
 * nothing, if there is no room for the state array. No reader can be looking at the span any
 * longer; lookups compare the count of changes. */
static bool span_recut(struct spans *s, uint32_t slice, unsigned sizeclass)
{
    struct span *span = pagemap_span(s, slice), was = *span, new = was;
    assert(span->status == SPAN_EMPTY && span->purpose == FOR_OBJECTS);
    span_shape(s, &new, sizeclass);
    /* The state array stays if the new slots need one of its size. */
    size_t nbytes = state_array_bytes(new.nslots, new.slot_bytes);
    size_t was_bytes = state_array_bytes(was.nslots, was.slot_bytes);
    bool same = nbytes == was_bytes;
    queue_remove(s, slice); /* first: to take a state array may give EMPTY spans back */
    new.states = same ? was.states : spans_take_metadata(s, nbytes);
    if (new.states == NULL) {
        queue_push(s, slice, SPAN_EMPTY);
        return false;
    }
    bool outermost = changes_begin(s);
    span->states = memset(new.states, 0, nbytes);
    span_shape(s, span, sizeclass);
    countdown_begin(span, span->nslots, 0);
    changes_end(s, outermost);
    if (!same)
        spans_free_metadata(s, was.states, was_bytes);
    return true;
}

/* Recuts the first EMPTY span that can be, after a grace period. Returns it, or NO_SLICE. */
static uint32_t span_recut_any(struct spans *s, unsigned sizeclass)
{
    for (unsigned c = 0; c < NCLASSES && s->nempty > 0; c++) {
        uint32_t slice = queue_first(s, FOR_OBJECTS, c, true);
        if (slice == NO_SLICE || !is_recuttable(s, pagemap_span(s, slice), sizeclass))
            continue;
        bool done = threads_wait_locked(&s->threads) && span_recut(s, slice, sizeclass);
        return done ? slice : NO_SLICE;
    }
    return NO_SLICE;
}

/* Gives EMPTY spans of a class back until all classes have nleft slices of them. Each span leaves
 * the queue before it goes, so that queue and totals agree at each step. */
static void queue_give_back(struct spans *s, int purpose, unsigned sizeclass, uint32_t nleft)
{
    uint32_t slice;
    while (s->nempty > nleft && (slice = queue_first(s, purpose, sizeclass, true)) != NO_SLICE &&
           span_open(s, slice)) {
        queue_remove(s, slice);
        span_give_back(s, slice);
    }
}

/* Gives EMPTY spans back until nleft slices of them are left. One grace period is enough for all:
 * an EMPTY span is not published, so no reader comes to it later. Spans of objects go first, since
 * their state arrays may be all that a metadata span has. */
static void give_back_empty(struct spans *s, uint32_t nleft)
{
    if (s->nempty <= nleft || !threads_wait_locked(&s->threads))
        return;
    for (int purpose = FOR_OBJECTS; purpose < NPURPOSES; purpose++)
        for (unsigned c = 0; c < NCLASSES && s->nempty > nleft; c++)
            queue_give_back(s, purpose, c, nleft);
}

/* Is called when memory is short, or for slices of another kind. */
void spans_give_back_empty(struct spans *s)
{
    give_back_empty(s, 0);
}

/* What stays is used again without the ledger, and a program whose objects come and go does not
 * look as if it had become small [TR2]. Where a grace period costs a system call, more goes at a
 * time. */
void spans_give_back_some(struct spans *s)
{
    enum { PART = 8 };
    uint32_t nspare = spans_nspare(s);
    give_back_empty(s, threads_are_no_readers_locked(&s->threads) ? nspare - nspare / PART
                                                                  : nspare / 2);
}

/* Returns after how many frees nearly all of nobjects are free; at least 1. */
static uint32_t nfrees_of_most(uint32_t nobjects)
{
    enum { PART = 8 };
    return nobjects > 0 ? nobjects - nobjects / PART : 1;
}

/* Returns the countdown for a PARTIAL span with nobjects objects. Threads that free at the same
 * time lose steps: two that always meet lose half. If the countdown waited for all objects, one
 * lost step would keep an empty span for long. So, if there are other threads, it ends at half of
 * the objects, and then is set anew. */
static int32_t nfrees_until_empty(uint32_t nobjects)
{
    uint32_t n = thread_is_the_only() ? nobjects : nobjects / 2;
    return n > 0 ? (int32_t)n : 1;
}

/* Rounded up, so that of a span of few slots one has to be free. */
uint32_t span_share(uint32_t nslots)
{
    return (uint32_t)ceil_div(nslots, QUEUE_SHARE);
}

/*     free slots    0 ...... least - 1    least ...... all - 1      all
 *     status              FULL                  PARTIAL            EMPTY
 *     countdown     until `least` are     until (nearly) all are   unused
 *
 * An EMPTY span is published no longer, so that no reader comes to it before it is given back. A
 * span that stays PARTIAL keeps its place: to move it would touch the entries of other spans. */
void span_requeue(struct spans *s, uint32_t slice, uint32_t least)
{
    struct span *span = pagemap_span(s, slice);
    assert(least > 0 && span->parked_by == NULL && span->status != SPAN_EMPTY);
    uint32_t nfree = states_count_free(span->states, span->nslots), nlive = span->nslots - nfree;
    assert(nlive >= span_nreserved(span));
    bool is_empty = nlive == span_nreserved(span), is_partial = !is_empty && nfree >= least;
    bool stays = is_partial && span->status == SPAN_PARTIAL;
    if (span->status == SPAN_PARTIAL && !stays)
        queue_remove(s, slice);
    if (is_empty) {
        span_unpublish(span);
        countdown_begin(span, nfree, 0);
        queue_push(s, slice, SPAN_EMPTY);
    } else if (is_partial) {
        countdown_begin(span, nfree, nfrees_until_empty(nlive - span_nreserved(span)));
        if (!stays)
            queue_push(s, slice, SPAN_PARTIAL);
    } else {
        countdown_begin(span, nfree, (int32_t)(least - nfree));
        span->status = SPAN_FULL;
    }
}

/* --- parking ----------------------------------------------------------------------- */

/* Returns after how many frees a parked span may be claimed. At most an eighth of it was free
 * when it was parked, so about half is free then; and half of the steps may be lost. */
static uint32_t park_countdown(uint32_t nslots)
{
    return nslots / 2 - nslots / 8;
}

/* The countdown goes first: as soon as parked_by is set, the lock holder may claim the span. It
 * ends by the time that all objects are free, however few they are: a large-slot span may be parked
 * when only the slots that were used so far are objects. */
void span_park(struct span *span, uint32_t nslots, bool patient, const void *owner)
{
    assert(owner != NULL && span->parked_by == NULL); /* not parked twice */
    assert(span->status == SPAN_OWNED && nslots == span->nslots);
    uint32_t nfree = states_count_free(span->states, nslots);
    uint32_t nfrees = nfrees_of_most(nslots - nfree);
    countdown_begin(span, nfree,
                    (int32_t)(patient ? nfrees : least(nfrees, park_countdown(nslots))));
    __atomic_store_n(&span->parked_by, owner, __ATOMIC_RELEASE);
}

/* Returns whether the caller has won the span [SP6]: of all threads that try, one does. */
static bool clear_parked_by(struct span *span, const void *owner)
{
    return __atomic_compare_exchange_n(&span->parked_by, &owner, NULL, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

/* From now on the owner looks at the states itself again. */
bool span_unpark(struct span *span, const void *owner)
{
    assert(owner != NULL);
    if (!clear_parked_by(span, owner))
        return false;
    span_restart_countdown(span, COUNTDOWN_NEVER);
    return true;
}

/* If an eighth is free, some 64 slots have an eighth free as well; with less, the owner might look
 * at all of them in vain. A countdown that is longer than any was undone by a free, which raced
 * with span_park and has put back what it had read before: then nothing is known, and the owner
 * looks for itself. A consumer that is as fast as its producer frees an object of each span just
 * when that is parked. */
bool span_is_reusable(const struct span *span, uint32_t nslots)
{
    enum { PART = 8 };
    assert(nslots >= PART); /* as each span of a thread has */
    return span_counted(span) >= nslots / PART || span_countdown(span) > (int32_t)nslots;
}

/* Takes a parked span away from its owner, under the lock. Returns false if it is not parked.
 * The owner still remembers the span, and finds out when it tries to unpark it. */
static bool claim_parked(struct span *span)
{
    assert(span->status == SPAN_OWNED);
    const void *owner = __atomic_load_n(&span->parked_by, __ATOMIC_RELAXED);
    return owner != NULL && clear_parked_by(span, owner);
}

/* The end of a countdown says nothing certain [SP5]: the span may have any status by now. A span
 * whose owner takes slots just now is left alone. */
void span_refile(struct spans *s, uint32_t slice)
{
    struct span *span = pagemap_span(s, slice);
    assert(span->slot_bytes == 0 || span->nslots > 0);
    if (span->status == SPAN_PARTIAL || span->status == SPAN_FULL)
        span_requeue(s, slice, span_share(span->nslots));
    /* Enough of a parked span was freed for other threads to want it. */
    else if (span->status == SPAN_OWNED && claim_parked(span))
        span_requeue(s, slice, span_share(span->nslots));
    else if (span->status == SPAN_OWNED && span_countdown(span) <= 0)
        span_set_countdown(span, COUNTDOWN_NEVER); /* it was owned for that many frees */
}

/* The freeing thread had no lock between its free and this call: by now the slice may be in
 * another span, whose status is judged anew, or in none. */
void spans_refile(struct spans *s, const void *address)
{
    if (s->nheld == 0)
        return;
    uint32_t slice = pagemap_slice(s, (uintptr_t)address);
    span_refile(s, slice - pagemap_span(s, slice)->back);
    spans_give_back_surplus(s);
}

/* The window of the owner may know of free slots; now only the states do, which are counted. */
void spans_release(struct spans *s, uint32_t slice)
{
    assert(pagemap_span(s, slice)->status == SPAN_OWNED);
    assert(pagemap_span(s, slice)->parked_by == NULL); /* unparked, or never parked */
    span_requeue(s, slice, span_share(pagemap_span(s, slice)->nslots));
    spans_give_back_surplus(s);
}

/* It is counted when a 16th of it was freed. */
void spans_release_used(struct spans *s, uint32_t slice)
{
    struct span *span = pagemap_span(s, slice);
    assert(span->status == SPAN_OWNED && span->parked_by == NULL);
    span_restart_countdown(span, (int32_t)span_share(span->nslots));
    span->status = SPAN_FULL;
}

/* Counts every span without an owner: a countdown that lost steps may have left free slots in no
 * queue. If `desperate`, a span with one free slot is PARTIAL. */
static void count_all_spans(struct spans *s, bool desperate)
{
    for (uint32_t slice = 1, n = spans_last_slice(s); slice <= n; slice++) {
        struct span *span = pagemap_span(s, slice);
        /* This leaves out entries that are no span or not its first, and spans with an owner. */
        if (span->status != SPAN_PARTIAL && span->status != SPAN_FULL)
            continue;
        span_requeue(s, slice, desperate ? 1 : span_share(span->nslots));
    }
    s->nmade = 0;
}

/* A heap of few spans is not counted: its owners would find what is free soon enough. */
bool spans_count_if_due(struct spans *s)
{
    enum { LEAST = 64 };
    /* What is left over until then is at most as much as was made. */
    if (s->nmade < LEAST || s->nmade < s->nheld / 2)
        return false;
    count_all_spans(s, false);
    return true;
}

/* Is called before a caller is told that there is no space [SP5]. */
void spans_sweep(struct spans *s)
{
    count_all_spans(s, true);
    spans_give_back_empty(s);
}

/* Before a new span is made, gives the EMPTY spans back if they are more than half of what the heap
 * keeps, or with several threads more than three eighths: of large-slot spans with WIDE_SLICES two
 * may stay, or one. The ledger then places the new span in their memory, which has its pages
 * already. If they are fewer, it is more likely that one of them is wanted next. */
static void give_back_other_classes(struct spans *s)
{
    if (s->nempty > s->nkept * (threads_are_several(s) ? 3u : 4u) / 8)
        spans_give_back_empty(s);
}

/* From the cheapest to the dearest: a span in a queue, an EMPTY one, a new one. What the first of
 * them costs is a few instructions; a new one costs the search for its slices. */
uint32_t span_get(struct spans *s, unsigned sizeclass)
{
    assert(sizeclass < NCLASSES && sizeclass_bytes(sizeclass) <= SPAN_OBJECT_MAX);
    uint32_t slice = queue_first(s, FOR_OBJECTS, sizeclass, false);
    /* Some PARTIAL spans may be missing from the queue [SP5]. */
    if (slice == NO_SLICE && spans_count_if_due(s))
        slice = queue_first(s, FOR_OBJECTS, sizeclass, false);
    /* An EMPTY span of the class is ready as it is; one of another class can be recut. Neither asks
     * the ledger, and both have their pages. */
    if (slice == NO_SLICE)
        slice = queue_first(s, FOR_OBJECTS, sizeclass, true);
    if (slice == NO_SLICE) {
        slice = span_recut_any(s, sizeclass);
        if (slice != NO_SLICE)
            return slice;
        give_back_other_classes(s);
        return span_make(s, sizeclass, FOR_OBJECTS);
    }
    queue_remove(s, slice);
    return slice;
}

/* State arrays are few, so no other span has to go for them. */
uint32_t span_get_lines(struct spans *s)
{
    uint32_t slice = queue_first(s, FOR_METADATA, LINE_CLASS, true);
    if (slice == NO_SLICE)
        return span_make(s, LINE_CLASS, FOR_METADATA);
    queue_remove(s, slice);
    return slice;
}

/* Publishes the span last: then readers may use all its fields. */
uint32_t spans_adopt(struct spans *s, unsigned sizeclass)
{
    uint32_t slice = span_get(s, sizeclass);
    if (slice == NO_SLICE)
        return NO_SLICE;
    struct span *span = pagemap_span(s, slice);
    assert(span->purpose == FOR_OBJECTS && span->parked_by == NULL);
    /* From here on frees only count down; the owner looks at the states itself. */
    span->status = SPAN_OWNED;
    span_restart_countdown(span, COUNTDOWN_NEVER);
    span_publish(span);
    return slice;
}

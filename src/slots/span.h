/* SPDX-License-Identifier: MIT
 *
 * span.h - the life of a span: slices of the region, cut into equal slots for small objects.
 *
 *     slices         [slot 0][slot 1] ... [slot n-1][rest]
 *     state array    [state 0][state 1] ... [state n-1]          in a slot of another span
 *     page map       [entry]  slot size, number of slots, where the state array is
 *
 *   SP1  state[i] == 0  <=>  slot i is free; else slot i is an object, and the state says how much
 *        of the slot is slack (state.h);
 *   SP2  states and payload never share a slice, so an overrun that stays within payload reaches
 *        no state. The library keeps nothing of its own in a slot for objects, live or free;
 *   SP3  only the owner of a span changes a state from 0; if it has no owner, the lock holder does.
 *        A thread that frees an object stores 0, without a lock (tcache.h);
 *   SP4  a span has one of these statuses, which only the lock holder changes:
 *
 *           OWNED ------------> FULL -----------> PARTIAL ---------> EMPTY -----> the ledger
 *         by a thread or     few slots         a 16th or more      all slots
 *         a heap cache       are free          are free            are free
 *           ^                                     |                   |
 *           +-------------------------------------+-------------------+
 *
 *        and a span that its owner gives up goes from OWNED to whichever of the other three its
 *        free slots make it;
 *
 *   SP5  `countdown` says how many frees are left until it pays to count the span's states again.
 *        Threads that free at the same time may lose steps of it, so it decides nothing: under the
 *        lock the states are counted before a span moves on (spans_release_used alone takes the
 *        owner's word that few are free, which costs nothing but time), and all spans are counted
 *        before a caller is told that there is no space;
 *   SP6  an OWNED span may be parked; `parked_by` then names its owner. The thread whose
 *        compare-and-swap sets it to NULL wins the span: the owner, which may do so without the
 *        lock and goes on taking slots; or the lock holder, and then the span has no owner;
 *   SP7  of a span without an owner, or of a parked one, `countdown_if_full - countdown` slots are
 *        free: each free counts down, and each slot that is taken under the lock counts up. That is
 *        exact until two threads free at the same time; then each step that is lost is a free slot
 *        that counts as an object, until the span's states are counted again.
 *
 *   SP8  where guard_bytes is not 0, that many bytes at the end of each span of objects are closed:
 *        each access to them is a fault, and no slot lies there. Spans of CLOSED_CLASS are closed
 *        as a whole, since their objects have no byte. Where the system refuses to close memory, it
 *        stays open. It is opened before a span goes back to the ledger; if the system refuses
 *        that, the span stays EMPTY.
 *
 * State arrays lie in slots, too: in lines of metadata spans. The state array of a metadata span
 * lies in lines of its own, so that making one needs no other. test/spin/span.pml is a model of the
 * protocol.
 *
 * The caller holds the heap's lock, except where a function says otherwise.
 */
#ifndef SPAN_H
#define SPAN_H

#include "slots/slot.h"
#include "slots/thread.h"

/* Gives a span of objects with a free slot to an owner. Returns its slice, or NO_SLICE if there
 * is no room. In this order: the span of the class that has waited longest in its queue; an
 * EMPTY span; a new one. */
uint32_t spans_adopt(struct spans *s, unsigned sizeclass);

/* The owner gives up its span, which is not parked: it is counted, and goes where it belongs. */
void spans_release(struct spans *s, uint32_t slice);

/* The owner gives up a span of which it knows that hardly any slot is free: that is not counted. */
void spans_release_used(struct spans *s, uint32_t slice);

/* Is due when a free of `address` has ended the countdown of its span: counts the span's free
 * slots, and puts the span where it belongs; a parked span is claimed from its owner. By now the
 * address may lie in another span, or in none. */
void spans_refile(struct spans *s, const void *address);

/* Returns the last slice that may be in a span; 0 if there is no span. */
static inline uint32_t spans_last_slice(const struct spans *s)
{
    return s->nheld > 0 ? least(pagemap_nslices_used(s), s->nclear) : 0;
}

/* Counts all spans without an owner, if half of all spans were made since that was done last.
 * Returns whether it did. Racing frees may have left spans behind; so they cost at most a constant
 * part of the memory, and counting a constant part of the time. */
bool spans_count_if_due(struct spans *s);

/* Counts all spans without an owner, so that each free slot of theirs can be found through a
 * queue, and gives all EMPTY spans back to the ledger. */
void spans_sweep(struct spans *s);

/* Gives all EMPTY spans back to the ledger, after a grace period. Gives none back if the system
 * refuses the barrier. */
void spans_give_back_empty(struct spans *s);

/* These four need no lock: the owner calls them while it is a reader. `owner` is any address that
 * stands for it.
 *
 * The owner sets a span aside that it has used up and still owns. The lock holder may claim it once
 * 3/8 of its slots were freed; if `patient`, not then, which is for an owner that would soon want
 * it back (window.h, WI5); and in either case once 7/8 of its objects were freed. */
void span_park(struct span *span, uint32_t nslots, bool patient, const void *owner);

/* The owner takes a parked span back. Returns false if the span was claimed meanwhile. */
bool span_unpark(struct span *span, const void *owner);

/* Returns whether an eighth of a parked span of nslots is free, so that to take it back is worth
 * the trouble; or whether racing frees have undone the countdown. If the span was claimed, and may
 * be anything by now, the answer means nothing: span_unpark finds that out. */
bool span_is_reusable(const struct span *span, uint32_t nslots);

/* Returns how many slots of the span are free. Only of a span that an owner takes slots of just now
 * are the states counted; of any other SP7 says it. The caller holds the lock. */
uint32_t span_nfree(const struct span *span);

/* Returns whether the span is still parked by that owner. It may be claimed right after. */
static inline bool span_is_parked(const struct span *span, const void *owner)
{
    return __atomic_load_n(&span->parked_by, __ATOMIC_RELAXED) == owner;
}

/* --- for spans.c ------------------------------------------------------------------- */

/* Reads and sets the countdown. Threads that free at the same time may undo what is set. */
static inline int32_t span_countdown(const struct span *span)
{
    return __atomic_load_n(&span->countdown, __ATOMIC_RELAXED);
}

static inline void span_set_countdown(struct span *span, int32_t nfrees)
{
    __atomic_store_n(&span->countdown, nfrees, __ATOMIC_RELAXED);
}

/* Reads and sets how many slots of the span came into use. Only its owner sets that, without the
 * lock, while a check under the lock may read it. */
static inline uint32_t span_used(const struct span *span)
{
    return __atomic_load_n(&span->used, __ATOMIC_RELAXED);
}

static inline void span_set_used(struct span *span, uint32_t used)
{
    __atomic_store_n(&span->used, (uint16_t)used, __ATOMIC_RELAXED);
}

/* Lets the countdown of a span that no owner takes slots of begin anew; SP7 holds as before. */
void span_restart_countdown(struct span *span, int32_t nfrees);

/* Lets readers see a span of objects. Everything that they read was written before [release]. */
void span_publish(struct span *span);

/* Returns how many slots of a metadata span the library leaves alone: the span's own state array
 * is in them, and the first and the last slot stay unused, so that a small overrun of an object
 * in the slice before, or the one behind, hits nothing. 0 for a span of objects. */
uint32_t span_nreserved(const struct span *span);

/* Returns the number of free slots from which a span of nslots is PARTIAL: a 16th of them. */
uint32_t span_share(uint32_t nslots);

/* Counts the free slots of a span that has no owner, and is not EMPTY, and puts it where it belongs
 * [SP4]: EMPTY, if all slots are free; PARTIAL, if at least `least` are; else FULL. */
void span_requeue(struct spans *s, uint32_t slice, uint32_t least);

/* Does what spans_refile does, for the span that begins at `slice`; or nothing, if it is owned
 * and not parked. */
void span_refile(struct spans *s, uint32_t slice);

/* Returns a span of objects with a free slot, which is in no queue and whose status the caller
 * sets; or NO_SLICE if there is no room. The span may not be published yet. */
uint32_t span_get(struct spans *s, unsigned sizeclass);

/* Returns a metadata span in which all is free, in no queue; or NO_SLICE if there is no room. */
uint32_t span_get_lines(struct spans *s);

/* Returns how many slices in EMPTY spans may stay: as many as the heap keeps for the next objects,
 * and an eighth of all. Spans that are made, emptied and made again would cost more. */
static inline uint32_t spans_nspare(const struct spans *s)
{
    enum { PART = 8 };
    return s->nkept + (s->nkept > 0 ? s->nheld / PART : 0);
}

/* Gives some EMPTY spans back, of more than may stay. */
void spans_give_back_some(struct spans *s);

/* Gives EMPTY spans back, if there are more than may stay. */
static inline void spans_give_back_surplus(struct spans *s)
{
    if (s->nempty > spans_nspare(s))
        spans_give_back_some(s);
}

#endif

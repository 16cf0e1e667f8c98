/* SPDX-License-Identifier: MIT
 *
 * span.h - a piece of the region cut into equal slots, for small objects.
 *
 *     units (64 KiB, aligned)      [slot 0][slot 1]...[slot n-1][rest]
 *     block (in another span)      [state 0][state 1]...[state n-1]
 *     map (an entry a unit)        what the unit is cut into, where its block is
 *
 *   SP1  state[i] == 0  <=>  slot i is free; else it is an object, with state[i] - 1
 *       bytes at its end that nobody asked for: one byte says whether, and how large.
 *       (STATE_FAR: so many that they are told in 16 bits, behind the states.);
 *   SP2  nothing is written to a slot but by its owner: states and payload never
 *       share a unit, so no overrun within payload reaches a state;
 *   SP3  only the owner of a span makes a 0 of its states something else; who has the
 *       lock, if no thread owns it. Anybody who has an object makes its state 0,
 *       without a lock (cache.h);
 *   SP4  a span is one of these, and only who has the lock changes that:
 *
 *           OWNED ----------> FLOATING ------> QUEUED ------> EMPTY -----> the ledger
 *         a thread's      few slots are free  a part is      all slots are
 *         and may rest                            |              |
 *           ^                                     |              |
 *           +-------------------------------------+--------------+
 *
 *   SP5  `hint` says after how many more frees it pays to count again. Threads that
 *       free at the same time may lose a step of it, so it decides nothing: the
 *       states are counted, under the lock, before a span moves on, and all spans are
 *       looked at before anybody is told that there is no space;
 *   SP6  an OWNED span may rest: `resting` says so. Who makes that NULL decides: its owner wakes
 *       it, without the lock; or who has the lock takes it over, and it is nobody's;
 *   SP7  the map goes with the last span.
 *
 * Blocks are slots themselves, in spans of their own whose block lies among their own
 * slots. All positions are units, none an address, but for `states`.
 *
 * Who calls has the lock.
 */
#ifndef SPAN_H
#define SPAN_H

#include "slots/slot.h"
#include "slots/thread.h"

/* A span with free slots, OWNED by a thread: the unit, or 0 if there is no room. */
uint32_t spans_adopt(struct spans *s, unsigned sizeclass);

/* Its owner is done with it: for some reason; or since hardly any of it is free. */
void spans_release(struct spans *s, uint32_t slice);
void spans_release_used(struct spans *s, uint32_t slice);

/* After a free of `address` the hint of its span came to its end: counts, and moves the
 * span to where it belongs. By now that may be a span no more. */
void spans_refile(struct spans *s, const void *address);

/* Looks at all spans, so that each free slot is in a queue, and gives all empty
 * spans back. */
void spans_sweep(struct spans *s);

/* Gives all empty spans back. */
void spans_give_back_empty(struct spans *s);

/* Its owner, whatever that is, lets a span of nslots rest: a patient one until most of it was
 * freed, which is for who is alone, since nobody waits for it. And wakes it: false if it is that
 * one's no more. In between: is it still; and has enough of it been freed? */
void span_park(struct span *span, uint32_t nslots, bool patient, const void *owner);
bool span_unpark(struct span *span, const void *owner);
bool span_is_reusable(const struct span *span, uint32_t nslots);

static inline bool span_is_parked(const struct span *span, const void *owner)
{
    return __atomic_load_n(&span->parked_by, __ATOMIC_RELAXED) == owner;
}

/* --- for spans.c ---- */

static inline int32_t span_countdown(const struct span *span)
{
    return __atomic_load_n(&span->countdown, __ATOMIC_RELAXED);
}

static inline void span_set_countdown(struct span *span, int32_t nfrees)
{
    __atomic_store_n(&span->countdown, nfrees, __ATOMIC_RELAXED);
}

void span_publish(struct span *span);

/* A span of ours has its own block in its slots, and leaves the first and the last slot
 * alone: who writes a little over the end of an object next to it hits nothing. */
uint32_t span_nreserved(const struct span *span);

uint32_t span_share(uint32_t nslots);

/* Puts a span that nobody owns, and that is in no queue, where it belongs [SP4]: in a
 * queue if at least `least` of its slots are free. */
void span_requeue(struct spans *s, uint32_t slice, uint32_t least);

void span_refile(struct spans *s, uint32_t slice);

/* A span with free slots, in no queue and with no status; NO_SLICE if there is no room. */
uint32_t span_get(struct spans *s, unsigned sizeclass, int purpose);

/* To see that nobody is looking any more costs a system call if there are threads: wait
 * until some spans are empty, and also keep a few, to avoid take-free-take churn. */
static inline bool spans_have_surplus(const struct spans *s)
{
    enum { PART = 8 };
    return s->nempty > s->nkept + (s->nkept > 0 ? s->nheld / PART : 0);
}

/* Gives the empty spans back if there are enough of them. */
static inline void spans_give_back_surplus(struct spans *s)
{
    if (spans_have_surplus(s))
        spans_give_back_empty(s);
}

#endif

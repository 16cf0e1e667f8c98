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

#include "ledger/chunks.h"
#include "slots/sizeclass.h"
#include "slots/thread.h"

enum { SLICE_SHIFT = 16, SLICE_BYTES = 1 << SLICE_SHIFT };

/* A span is one unit, or WIDE_SLICES of them for slots of which too few would fit in one.
 * Larger objects are the ledger's. */
enum { WIDE_SLICES = 8, WIDE_SHIFT = 3, NARROW_BYTES_MAX = SLICE_BYTES / 8 };
enum { SPAN_OBJECT_MAX = SLOT_BYTES_MAX };

/* A region has at least 256 units, so that spans of a few objects do not fill it; those
 * of small regions are smaller, and a very small region has none. */
enum { SLICE_SHIFT_MIN = 12, NSLICES_SHIFT = 8, SLOTS_SHIFT = 3 };

/* Where that is asked for nevertheless: units of 512 bytes and more, four slots in each. */
enum { SMALL_SLICE_SHIFT_MIN = 9, SMALL_SLOTS_SHIFT = 2 };
static_assert(1 << WIDE_SHIFT == WIDE_SLICES, "");

enum span_status { SPAN_NONE, SPAN_OWNED, SPAN_FULL, SPAN_PARTIAL, SPAN_EMPTY };

/* What is known of a unit. All 0: it is no span. */
struct span {
    uint32_t
        reciprocal_published; /* to those without the lock: the reciprocal; 0: there is nothing to see */
    int32_t countdown;
    unsigned char *states;
    uint32_t reciprocal_published_wide; /* the same as `visible` for a span of WIDE_SLICES */
    uint32_t back;         /* in the others of these: how many units before is the first? */
    const void *parked_by; /* while it rests, its owner; else NULL */
    uint32_t slot_bytes;
    uint32_t reciprocal;     /* a multiplication finds the slot: see span_reciprocal */
    uint32_t next, previous; /* in the queue, a ring */
    uint16_t nslots;
    uint16_t search; /* where a free slot is looked for first, under the lock */
    uint16_t used;   /* the first so many were in a window (cache.h) since it was made */
    uint8_t sizeclass, purpose, status;
    _Alignas(64) char end[]; /* one cache line: threads write hints of neighbours */
};
static_assert(sizeof(struct span) == 64, "the map is found by a shift");

/* What spans are for: objects; blocks and other things of the library's own. */
enum { FOR_OBJECTS, FOR_METADATA, NPURPOSES };

/* The first in each queue: units are counted from 1, 0 is none. They lie before the map,
 * so that a heap without spans needs no room for them. */
struct queues {
    uint32_t partial[NCLASSES], empty[NCLASSES];
};
enum { QUEUES_BYTES = NPURPOSES * sizeof(struct queues) };
static_assert(QUEUES_BYTES % sizeof(struct span) == 0, "the map is aligned to cache lines");

struct spans {
    struct chunks *chunks;
    struct threads threads;
    unsigned slice_shift;
    unsigned skipped;    /* bits of the numbers of classes that are always 1, but of the smallest */
    uint32_t object_max; /* in bytes; 0: there are no spans */
    uint32_t nkept;      /* empty spans that do not go back at once */
    uint32_t pagemap;    /* where queues and map are, if nheld > 0 */
    uint32_t nclear;     /* units above have no entry yet, and are no span */
    uint32_t nheld;      /* units in spans */
    uint32_t nempty;     /* and in EMPTY ones */
    uint32_t nmade;      /* spans, since all were looked at */
    uint32_t changes;    /* odd while a span is made or goes */
};

/* What an address in a span is. */
struct slot {
    uint32_t slice, index;
    uint32_t bytes, into; /* the slot's size; how far into it the address is */
    bool is_object;       /* else it is free, or ours */
    bool is_metadata;
    bool is_rest; /* what is left over behind the last slot: nobody can have it */
    uint32_t slack;
};

/* In a heap with a free list an empty span is free memory at once, as the list says what
 * is free; else a few are kept for the next who wants one. */
void spans_open(struct spans *s, struct chunks *chunks);

/* In a region too small for that: few classes, in units of which most are in use. */
void spans_open_small(struct spans *s, struct chunks *chunks);

/* In a region of up to nbytes all narrow slots are of the first so many classes. */
unsigned spans_nclasses(size_t nbytes);

/* A slot for nbytes of a size class; NULL if there is no room, or if there would be more
 * slack than can be told. */
void *spans_take(struct spans *s, size_t nbytes, unsigned sizeclass);

/* The last resort: a free slot of any larger size, in a span that is there. */
void *spans_take_larger(struct spans *s, size_t nbytes);

/* Whether `offset` into the region lies in a span, and if so in which slot. */
bool spans_find(const struct spans *s, size_t offset, struct slot *slot);

/* Frees the slot of an object. */
void spans_free(struct spans *s, const struct slot *slot);

/* Gives the object in the slot another size: false if the slot cannot hold it, or is
 * free by now. */
bool spans_resize(struct spans *s, const struct slot *slot, size_t nbytes);

/* Zeroed memory of the library's own, nbytes <= object_max; NULL: no room. */
void *spans_take_metadata(struct spans *s, size_t nbytes);
void spans_free_metadata(struct spans *s, void *metadata);

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

/* How much of the region the map has now. */
uint32_t pagemap_granules(const struct spans *s);

/* The region has been copied or mapped `delta` bytes higher than it was when addresses were
 * last noted: corrects them. The units have to lie as they did. False: some do not, or what
 * is there makes no sense; nothing has changed. */
bool spans_move(struct spans *s, ptrdiff_t delta);

/* Undoes that. */
void spans_move_back(struct spans *s, ptrdiff_t delta);

/* Recounts SP1 to SP6. */
bool spans_are_valid(const struct spans *s);

/* --- for those who look without the lock ---------------------------------------- */

/* The entry of a unit; all but the first of a wide span only tell how far back that is. */
static inline struct span *pagemap_span(const struct spans *s, uint32_t slice)
{
    unsigned char *pagemap = region_at(&s->chunks->region, s->pagemap);
    return (struct span *)(void *)(pagemap + QUEUES_BYTES) + (slice - 1);
}

static inline bool is_wide(size_t slot_bytes)
{
    return slot_bytes > NARROW_BYTES_MAX;
}

/* ceil(2^32 / slot_bytes): for all offsets in a unit (offset * reciprocal) >> 32 is the
 * slot, and the low half of the product is less than the reciprocal exactly where
 * a slot begins (test/unit/place.c tries all). In a wide span both are counted in
 * eights of bytes. The method: Granlund and Montgomery, "Division by Invariant
 * Integers using Multiplication", 1994. */
static inline uint32_t span_reciprocal(uint32_t slot_bytes)
{
    return UINT32_MAX / (is_wide(slot_bytes) ? slot_bytes >> WIDE_SHIFT : slot_bytes) + 1;
}

/* Which of the first n states are 0; of 64, if n is more. Bits that are set stay so
 * until the owner takes the slot [SP3]. Blocks are whole multiples of 64 bytes. */
enum { STATES_AT_ONCE = 64 };

static inline uint64_t free_slots(const unsigned char *states, uint32_t n)
{
    uint64_t mask = zeros_of_64(states);
    return n < STATES_AT_ONCE ? mask & (((uint64_t)1 << n) - 1) : mask;
}

/* The state of an object whose slack is told elsewhere, and where. Small slots have no
 * such place: a byte is enough for them. */
enum { STATE_FAR = 255, SLACK_NEAR_MAX = STATE_FAR - 2, ALL_NEAR_MAX = 256 };

static inline size_t far_offset(uint32_t nslots)
{
    return ((size_t)nslots / 2 + 1) * 2; /* behind the rest, too */
}

static inline uint16_t *far_slack(unsigned char *states, uint32_t nslots, uint32_t index)
{
    return (uint16_t *)(void *)(states + far_offset(nslots)) + index;
}

static inline uint32_t slack_max(uint32_t slot_bytes)
{
    return slot_bytes > ALL_NEAR_MAX ? UINT16_MAX : SLACK_NEAR_MAX;
}

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

/* What a state says, for who has no lock. */
static inline bool state_is_object(uint32_t state)
{
    return state != 0;
}

/* It is an object whose slack it tells itself. */
static inline bool state_is_near(uint32_t state)
{
    return (uint8_t)(state - 1) <= SLACK_NEAR_MAX;
}

static inline bool state_is_far(uint32_t state)
{
    return state == STATE_FAR;
}

static inline uint32_t state_slack_near(uint32_t state)
{
    return state - 1;
}

/* What every resize does: false if the slot is free by now. That is the one place where two
 * threads that race must not both win: a 0 must stay a 0 [SP3]. So they compare and swap, which
 * takes longer than all the rest, and which a thread without others can leave out. */
static inline bool state_replace(unsigned char *state, uint8_t with)
{
    uint8_t old = __atomic_load_n(state, __ATOMIC_RELAXED);
    if (old == 0 || old == with)
        return old != 0;
    if (!thread_is_the_only())
        return __atomic_compare_exchange_n(state, &old, with, false, __ATOMIC_RELEASE,
                                           __ATOMIC_RELAXED);
    __atomic_store_n(state, with, __ATOMIC_RELEASE);
    return true;
}

/* The slack of an object that had this state: it may have another by now. 0 if it was free. */
static inline uint32_t slack_of(unsigned char *states, uint32_t nslots, uint32_t index,
                                uint32_t state)
{
    if (state_is_far(state))
        return __atomic_load_n(far_slack(states, nslots, index), __ATOMIC_RELAXED);
    return state_is_object(state) ? state_slack_near(state) : 0;
}

static inline uint32_t span_slack(unsigned char *states, uint32_t nslots, uint32_t index)
{
    return slack_of(states, nslots, index, __atomic_load_n(states + index, __ATOMIC_RELAXED));
}

/* Makes a free slot an object with so much slack, for its owner; and gives an object another,
 * for anybody: false if it is free by now. */
void span_make_object(unsigned char *states, uint32_t nslots, uint32_t index, uint32_t slack);
bool span_resize_object(unsigned char *states, uint32_t nslots, uint32_t index, uint32_t slack);

/* Whether an object of nbytes can be in a slot; and whether one of `old` bytes that is
 * there should stay when it becomes that size: not if it gives up most of the slot. */
static inline bool slot_can_hold(uint32_t slot_bytes, size_t nbytes)
{
    return nbytes <= slot_bytes && slot_bytes - nbytes <= slack_max(slot_bytes);
}

static inline bool slot_suits(uint32_t slot_bytes, size_t old, size_t nbytes)
{
    enum { SMALL = 512, PART = 4 };
    return slot_can_hold(slot_bytes, nbytes) &&
           (slot_bytes <= SMALL || nbytes >= slot_bytes / PART || nbytes >= old - old / PART);
}

/* Where a unit begins. */
uintptr_t pagemap_address(const struct spans *s, uint32_t slice);

#endif

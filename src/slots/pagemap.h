/* SPDX-License-Identifier: MIT
 *
 * pagemap.h - slices of the region for spans, and the page map, which knows each slice.
 *
 *     region      |    slice 1   |    slice 2   |  ...  |   slice n   |     64 KiB each, aligned
 *                      ^ the region begins somewhere in slice 1
 *     page map    [queues][entry 1][entry 2] ... [entry n]                one chunk of the region
 *
 *   PM1  a span is one slice; a large-slot span is 8, 16 or 32 consecutive slices. The entry of its
 *        first slice is its descriptor, struct span; each of the others only says how far back the
 *        first is;
 *   PM2  an entry whose slot_bytes and `back` are 0 is no span, and neither is a slice above
 *        nclear, which has no entry yet;
 *   PM3  the page map is taken from the ledger with the first span and given back with the last:
 *        nheld > 0 says that it is there. Exception: a large one may stay [PM5];
 *   PM4  a slice goes back to the ledger only when its span is published no longer, and no reader
 *        can be looking at it any longer (base/grace.h);
 *   PM5  all of the page map can be read, since a lookup may ask for any slice. Where the heap
 *        keeps_pagemap, pages of a large one in memory that was never used can be written to only
 *        when a slice is taken whose entry lies there: most of it stays zero, and then it is no
 *        memory of the process.
 *
 * Positions are slices, counted from 1, and never addresses, except for the states of a span. The
 * caller of each function holds the heap's lock, unless the function says otherwise.
 */
#ifndef PAGEMAP_H
#define PAGEMAP_H

#include "ledger/chunks.h"
#include "slots/sizeclass.h"
#include "slots/thread.h"

enum { SLICE_SHIFT = 16, SLICE_BYTES = 1 << SLICE_SHIFT };

/* Slots above NARROW_BYTES_MAX are large. A large-slot span has WIDE_SLICES slices; or more, up to
 * WIDE_SLICES_MAX, so as to have WIDE_SLOTS of them. Positions in it are counted in units of
 * 2^WIDE_SHIFT bytes. */
enum { NARROW_BYTES_MAX = SLICE_BYTES / 8, WIDE_SLICES = 8, WIDE_SLOTS = 32 };
enum { WIDE_SLICES_MAX = WIDE_SLOTS * SLOT_BYTES_MAX / SLICE_BYTES, WIDE_SHIFT = 5 };
enum { SPAN_OBJECT_MAX = SLOT_BYTES_MAX };

/* A region has at least 2^NSLICES_SHIFT slices, so that the spans of a few objects do not fill
 * it. In a small region slices are smaller, and a region that is too small for the smallest has
 * none. At least 2^SLOTS_SHIFT slots are in a span. */
enum { SLICE_SHIFT_MIN = 12, NSLICES_SHIFT = 8, SLOTS_SHIFT = 3 };

/* In a region that is smaller still, and whose owner wants slots nevertheless
 * (spans_open_small), slices have 512 bytes or more, and spans have at least 4 slots. */
enum { SMALL_SLICE_SHIFT_MIN = 9, SMALL_SLOTS_SHIFT = 2 };
static_assert(1 << WIDE_SHIFT == WIDE_SLICES_MAX, "positions in a large-slot span take 16 bits");

/* SPAN_OWNED: one thread, or a heap cache, takes its slots. The others have no owner. SPAN_FULL:
 * few slots are free. SPAN_PARTIAL: enough are free, and it waits in a queue. SPAN_EMPTY: all
 * are free, and it waits in another queue. span.h has the transitions. */
enum span_status { SPAN_NONE, SPAN_OWNED, SPAN_FULL, SPAN_PARTIAL, SPAN_EMPTY };

/* The entry of a slice. Its fields are in the order in which the fast paths need them, not by the
 * thread that may write them; so each group says that. "Fixed" is what changes only while no reader
 * can see the span. */
struct span {
    /* Read without the lock: the reciprocal, once readers may use the other fields, else 0. Any
     * thread that frees a slot counts down; the count decides nothing [SP5]. */
    uint32_t reciprocal_published;
    int32_t countdown; /* frees until the span is counted again */

    /* Fixed. */
    unsigned char *states; /* the state array (state.h) */

    /* Read without the lock: the reciprocal of a large-slot span; in its other entries, how many
     * slices back the first one is; and, compared and swapped without the lock, the owner that has
     * parked the span, or NULL [SP6]. */
    uint32_t reciprocal_published_wide;
    uint32_t back;
    const void *parked_by;

    /* Fixed. */
    uint32_t slot_bytes; /* 0: this is no span, or not its first slice */
    uint32_t reciprocal; /* slot_reciprocal(slot_bytes) */

    /* Under the lock: the neighbours in a queue, which is a ring. */
    uint32_t next, previous;

    /* Fixed. */
    uint16_t nslots;

    /* Under the lock: where the search for a free slot begins. */
    uint16_t search;

    /* The owner's: slots 0 to used - 1 were in a window since the span was made (window.h). */
    uint16_t used;

    /* Fixed. */
    uint8_t sizeclass;
    uint8_t purpose; /* FOR_OBJECTS, FOR_METADATA */

    /* Under the lock. */
    uint8_t status; /* enum span_status */

    /* Fixed. */
    uint8_t nslices;

    /* Where the countdown would be if no slot were free [SP7]. */
    int32_t countdown_if_full;

    /* Each entry has a cache line of its own, since threads count down in neighbouring ones. */
    _Alignas(64) char end[];
};
static_assert(sizeof(struct span) == 64, "a shift finds the entry of a slice");

/* What a span is for: the caller's objects; or state arrays, windows and caches of the library's
 * own. */
enum { FOR_OBJECTS, FOR_METADATA, NPURPOSES };

/* Metadata spans are of one class: their slots are cache lines, and what the library keeps in one
 * has as many consecutive lines as it needs. So all of it lies close together, however many sizes
 * it has. */
enum { LINE_BYTES = 64, LINE_CLASS = LINE_BYTES / SMALL_STEP - 1 };

/* For one purpose: the first slice of the first span in each class's queues, or NO_SLICE. The
 * queues lie before the entries, so that a heap without spans has no memory for them. */
struct queues {
    uint32_t partial[NCLASSES], empty[NCLASSES];
};
enum { QUEUES_BYTES = NPURPOSES * sizeof(struct queues) };
static_assert(QUEUES_BYTES % sizeof(struct span) == 0, "entries are aligned to cache lines");

/* All that a heap knows of its spans. Everything is read and written under the lock, except for
 * what says otherwise. */
struct spans {
    struct chunks *chunks;  /* the heap's, which the slices come from */
    struct threads threads; /* those that may be readers */
    unsigned slice_shift;   /* a slice has 2^slice_shift bytes; never changes */
    uint8_t skipped;        /* 1: of the classes from NSMALL on, only the odd ones are used */
    uint8_t may_have_raced; /* 1: two threads may have freed at the same time (span.h, SP7) */
    uint32_t object_max;    /* largest object in a slot, in bytes; 0: the heap has no spans */
    uint32_t nkept;         /* how many empty slices do not go back at once */
    uint32_t pagemap; /* the granule of queues and page map, if nheld > 0; read without the lock */
    uint32_t nclear;  /* slices above have no entry yet [PM2]; read without the lock */
    uint32_t nheld;   /* slices in spans; read without the lock */
    uint32_t nempty;  /* slices in EMPTY spans */
    uint32_t nmade;   /* spans made since all were last counted */
    uint32_t changes; /* a sequence count: odd while a span is made or goes (base/seqcount.h) */
    uint8_t nshunned[NCLASSES]; /* the next n objects of each class get no span of their own */
    bool keeps_pagemap;         /* a large page map stays [PM5] */
    bool clears;                /* metadata is cleared before its memory goes back */
    uint32_t guard_bytes; /* the closed end of each span of objects [SP8]; 0: none is closed */
    uint64_t random;      /* the state of a generator that chooses slots; 0: none does */
};

/* How many objects of a class get chunks after its last span has gone (spans.c: count_shunned). */
enum { NSHUNNED = 128 };

/* The class whose spans are closed as a whole where spans have closed ends: it is for objects of no
 * byte [SP8]. */
enum { CLOSED_CLASS = 0 };

/* Slices are counted from 1. */
enum { NO_SLICE = 0 };

/* Any thread may call these three: their results never change. */
static inline const struct region *spans_region(const struct spans *s)
{
    return &s->chunks->region;
}

static inline size_t slice_bytes(const struct spans *s)
{
    return (size_t)1 << s->slice_shift;
}

static inline uint32_t slice_granules(const struct spans *s)
{
    return (uint32_t)(slice_bytes(s) / GRANULE_BYTES);
}

/* Returns the entry of a slice. The page map must be there [PM3]. */
static inline struct span *pagemap_span(const struct spans *s, uint32_t slice)
{
    assert(slice != NO_SLICE);
    unsigned char *pagemap = region_at(&s->chunks->region, s->pagemap);
    return (struct span *)(void *)(pagemap + QUEUES_BYTES) + (slice - 1);
}

/* Returns whether slots of this size are in large-slot spans. */
static inline bool is_wide(size_t slot_bytes)
{
    return slot_bytes > NARROW_BYTES_MAX;
}

/* Returns the most slices that a span of such slots has: if they are large, the smallest power of
 * two that holds WIDE_SLOTS of them. It holds less than twice that, so less than STATES_AT_ONCE. */
static inline uint32_t nslices_max(uint32_t slot_bytes)
{
    enum { PER_SLICE = SLICE_BYTES / WIDE_SLOTS };
    return is_wide(slot_bytes) ? 2u << highest_bit((slot_bytes - 1) / PER_SLICE) : 1;
}

static inline uint32_t span_nslices(const struct span *span)
{
    return span->nslices;
}

/* Returns whether a span of this shape may have as many slices as it says. */
static inline bool span_has_length(const struct span *span)
{
    uint32_t n = span->nslices, most = nslices_max(span->slot_bytes);
    return n == most || (n >= WIDE_SLICES && n < most && is_power_of_two(n));
}

/* Returns where the closed end of a span begins, in bytes from the span's begin: at the span's own
 * end, if none of it is closed [SP8]. */
static inline size_t span_closed_from(const struct spans *s, const struct span *span)
{
    size_t nbytes = span_nslices(span) * slice_bytes(s);
    if (s->guard_bytes == 0 || span->purpose != FOR_OBJECTS)
        return nbytes;
    return span->sizeclass == CLOSED_CLASS ? 0 : nbytes - s->guard_bytes;
}

/* Returns how many slots a span of this shape has: what is closed has none, unless all of it is. */
static inline uint32_t span_nslots(const struct spans *s, const struct span *span)
{
    size_t open = span_closed_from(s, span);
    size_t nbytes = open != 0 ? open : span_nslices(span) * slice_bytes(s);
    return (uint32_t)(nbytes / span->slot_bytes);
}

/* Returns where a slice begins: below the region's begin, if it is the first. Slices are aligned
 * addresses, counted from the one that the region begins in. */
static inline uintptr_t pagemap_address(const struct spans *s, uint32_t slice)
{
    assert(slice != NO_SLICE);
    return (((uintptr_t)spans_region(s)->base >> s->slice_shift) + (slice - 1)) << s->slice_shift;
}

/* Returns the slice that an address of the region lies in; for one outside, less than 2^32 slices
 * away, a number that no slice has. */
static inline uint32_t pagemap_slice(const struct spans *s, uintptr_t address)
{
    uintptr_t base = (uintptr_t)spans_region(s)->base;
    return (uint32_t)((address >> s->slice_shift) - (base >> s->slice_shift)) + 1;
}

/* Returns how many slices the region touches. */
size_t pagemap_nslices(const struct spans *s);

/* Returns the slice of the last granule in use, 0 if there is none: no span lies above it, and
 * there the page map was never written to. */
uint32_t pagemap_nslices_used(const struct spans *s);

/* Returns the granule that a slice begins at. The slice does not begin below the region. */
uint32_t pagemap_granule(const struct spans *s, uint32_t slice);

/* Returns whether the page map is there [PM3]. One of which a part was never written to stays,
 * since that part cannot be given back. A heap that is not open has no chunks. */
static inline bool pagemap_is_there(const struct spans *s)
{
    return s->nheld > 0 || (s->chunks != NULL && chunks_have_unwritten(s->chunks));
}

/* Returns how many granules the page map takes now. */
uint32_t pagemap_granules(const struct spans *s);

/* Takes n consecutive slices from the ledger for a span, and the page map if it is not there.
 * Returns the first slice, whose entry is no span yet [PM2]; or NO_SLICE, and nothing has changed,
 * if the ledger has no room. */
uint32_t slices_take(struct spans *s, uint32_t n);

/* Gives the n slices of a span back to the ledger; its entry is no span then [PM2]. The span is in
 * no queue, and [PM4]. The page map goes with the last span. */
void slices_give_back(struct spans *s, uint32_t first, uint32_t n);

#endif

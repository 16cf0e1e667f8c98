/* SPDX-License-Identifier: MIT
 *
 * pagemap.h - slices of the region, and what is known of each.
 */
#ifndef PAGEMAP_H
#define PAGEMAP_H

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

enum { NO_SLICE = 0 };

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

static inline uint32_t span_nslices(const struct span *span)
{
    return is_wide(span->slot_bytes) ? WIDE_SLICES : 1;
}

/* Units are aligned addresses, and counted from the one that the region begins in. */
static inline uintptr_t pagemap_address(const struct spans *s, uint32_t slice)
{
    return (((uintptr_t)spans_region(s)->base >> s->slice_shift) + (slice - 1)) << s->slice_shift;
}

static inline uint32_t pagemap_slice(const struct spans *s, uintptr_t address)
{
    uintptr_t base = (uintptr_t)spans_region(s)->base;
    return (uint32_t)((address >> s->slice_shift) - (base >> s->slice_shift)) + 1;
}

size_t pagemap_nslices(const struct spans *s);

/* No span lies in a higher unit: above it nothing of the map was ever touched. */
uint32_t pagemap_nslices_used(const struct spans *s);

uint32_t pagemap_granule(const struct spans *s, uint32_t slice);

/* How much of the region the map has now. */
uint32_t pagemap_granules(const struct spans *s);

uint32_t slices_take(struct spans *s, uint32_t n);

/* `visible` is 0 before and after: others may be looking. */
void slices_give_back(struct spans *s, uint32_t first, uint32_t n);

#endif

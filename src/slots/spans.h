/* SPDX-License-Identifier: MIT
 *
 * spans.h - all spans of a heap: small objects in slots, taken and freed under the heap's lock.
 *
 * An object that is taken here lies in a PARTIAL span, which stays in its queue. Threads with a
 * cache of their own (tcache.h) take slots of OWNED spans without the lock instead.
 *
 * The caller holds the heap's lock.
 */
#ifndef SPANS_H
#define SPANS_H

#include "slots/span.h"

/* What an address in a span is. */
struct slot {
    uint32_t slice, index;
    uint32_t bytes, into; /* of the slot; and how far into it the address is */
    bool is_object;       /* else it is free, or the library's own */
    bool is_metadata;
    bool is_rest; /* it is what is left over behind the last slot */
    uint32_t slack;
};

/* Makes a heap's spans ready; there is none yet. The slices are as large as the region allows
 * (pagemap.h). In a heap with a free list each EMPTY span goes back to the ledger at once, as
 * the list says what is free; in others a few are kept for the next objects. */
void spans_open(struct spans *s, struct chunks *chunks);

/* Makes a heap's spans ready in a region that is too small for spans_open: with few classes, and
 * small slices. The caller has called spans_open, which found no slice size. */
void spans_open_small(struct spans *s);

/* Returns how many classes a heap in a region of up to nbytes needs for its small-slot spans. */
unsigned spans_nclasses(size_t nbytes);

/* Returns a slot of a size class, as an object of nbytes; or NULL if there is no room, or if
 * there would be more slack than the states can say. */
void *spans_take(struct spans *s, size_t nbytes, unsigned sizeclass);

/* Returns a free slot of any larger class, of a span that is PARTIAL; or NULL. It is the last
 * resort when there is no room. */
void *spans_take_larger(struct spans *s, size_t nbytes);

/* Returns whether `offset` into the region lies in a span, and if so stores in which slot. The
 * first is for a heap that has spans (nheld > 0). */
bool spans_find_slot(const struct spans *s, size_t offset, struct slot *slot);
static inline bool spans_find(const struct spans *s, size_t offset, struct slot *slot)
{
    return s->nheld > 0 && spans_find_slot(s, offset, slot);
}

/* Frees the slot of an object, which spans_find has found. */
void spans_free(struct spans *s, const struct slot *slot);

/* Gives the object in the slot another size where it is. Returns false, and changes nothing, if
 * the slot does not suit that size, or is free by now. */
bool spans_resize(struct spans *s, const struct slot *slot, size_t nbytes);

/* How many slots of objects are live and free, told by the countdowns [SP7]. All 0 at first. */
struct slot_tally {
    uint32_t nseen; /* slices so far */
    uint32_t nheld; /* of these in spans, of objects or of the library's own */
    size_t live_bytes, nfree, free_bytes;
    size_t idle_bytes; /* in spans of which all slots are free */
    uint32_t nfree_of[NCLASSES];
};

/* Adds the spans in the next nslices slices, and reads one entry of the page map for each slice: so
 * the time depends on how long the region is that spans lie in, and on no number of objects. Only
 * of spans that threads take slots of just now are the states counted. Returns false once all spans
 * were added. The caller may let go of the lock in between. */
bool spans_tally(const struct spans *s, struct slot_tally *t, uint32_t nslices);

/* Returns zeroed memory for the library's own use, at most a fourth of a slice, or NULL if there is
 * no room. It lies apart from objects [SP2], and begins at a cache line. */
void *spans_take_metadata(struct spans *s, size_t nbytes);

/* Frees memory that spans_take_metadata has returned for nbytes. */
void spans_free_metadata(struct spans *s, void *metadata, size_t nbytes);

#endif

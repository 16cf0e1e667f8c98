/* SPDX-License-Identifier: MIT
 *
 * spans.h - small objects in slots, under the lock.
 */
#ifndef SPANS_H
#define SPANS_H

#include "slots/span.h"

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

/* Finds the slot that `offset` into the region lies in. Returns false if it lies in no span, as
 * in a heap that has none; spans_find_slot is for a heap that has some (nheld > 0). */
bool spans_find_slot(const struct spans *s, size_t offset, struct slot *slot);
static inline bool spans_find(const struct spans *s, size_t offset, struct slot *slot)
{
    return s->nheld > 0 && spans_find_slot(s, offset, slot);
}

/* Frees the slot of an object. */
void spans_free(struct spans *s, const struct slot *slot);

/* Gives the object in the slot another size: false if the slot cannot hold it, or is
 * free by now. */
bool spans_resize(struct spans *s, const struct slot *slot, size_t nbytes);

/* Zeroed memory of the library's own, nbytes <= object_max; NULL: no room. */
void *spans_take_metadata(struct spans *s, size_t nbytes);
void spans_free_metadata(struct spans *s, void *metadata);

/* The region has been copied or mapped `delta` bytes higher than it was when addresses were
 * last noted: corrects them. The units have to lie as they did. False: some do not, or what
 * is there makes no sense; nothing has changed. */
bool spans_move(struct spans *s, ptrdiff_t delta);

/* Undoes that. */
void spans_move_back(struct spans *s, ptrdiff_t delta);

/* Recounts SP1 to SP6. */
bool spans_are_valid(const struct spans *s);

#endif

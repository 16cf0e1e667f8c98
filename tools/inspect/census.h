/* SPDX-License-Identifier: MIT
 *
 * census.h - the live objects of a target, counted by their exact size, and by their origin.
 */
#ifndef CENSUS_H
#define CENSUS_H

#include "heaps.h"
#include "origins.h"
/* It declares struct look behind heaps.h. */
#include "command.h"

/* Objects that have something in common: their size, or their origin. */
struct kind {
    uint64_t key;    /* the size, or origin_key */
    uint32_t origin; /* one that has this key; 0 for a size */
    uint64_t count, bytes;
};

struct kinds {
    struct kind *list; /* those with the most bytes first */
    size_t n, room;
};

struct object_at {
    uint64_t address;
    size_t size;
};

struct census {
    struct kinds sizes, origins;
    struct object_at *largest; /* the largest objects, */
    size_t nlargest, top;      /* and how many of them are wanted */
    uint64_t count, bytes, slack;
    struct origins *history; /* NULL: objects are not counted by their origin */
    const struct view *view; /* that is being counted */
};

/* Counts more objects of a kind. */
void kinds_add(struct kinds *k, struct kind more);

/* Sorts the kinds when all objects have been counted; of two with equally many bytes, the one with
 * the lower key comes first. */
void kinds_sort(struct kinds *k);

/* Counts all objects of a target, in a census of zeros, except `top` and `history`. Returns false
 * if a heap is damaged: what could be counted was counted. */
bool census_take(struct census *c, const struct look *l);
void census_free(struct census *c);

/* --- two of them ----------------------------------------------------------------------- */

/* Of one kind of objects. */
struct change {
    struct kind old, new;
};

struct changes {
    struct change *list; /* those that grew or shrank by most bytes come first */
    size_t n;
};

/* By how many objects, and by how many bytes, it grew; less than 0: it shrank. */
int64_t change_objects(const struct change *c);
int64_t change_bytes(const struct change *c);

/* Finds the kinds that differ; the caller frees the list. Both are sorted by their keys afterwards.
 */
struct changes kinds_compare(struct kinds *old, struct kinds *new);

/* Returns the kind that has a key, among those that kinds_compare has sorted; or NULL. */
const struct kind *kinds_find(const struct kinds *k, uint64_t key);

#endif

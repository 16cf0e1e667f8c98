/* SPDX-License-Identifier: MIT
 *
 * census.h - the live objects of a target, counted by their exact size.
 */
#ifndef CENSUS_H
#define CENSUS_H

#include "heaps.h"
/* It declares struct look behind heaps.h. */
#include "command.h"

struct size {
    size_t size;
    uint64_t count;
};

struct object_at {
    uint64_t address;
    size_t size;
};

struct census {
    struct size *sizes; /* those with the most bytes first */
    size_t nsizes, room;
    struct object_at *largest; /* the largest objects, */
    size_t nlargest, top;      /* and how many of them are wanted */
    uint64_t count, bytes, slack;
    const struct view *view; /* that is being counted */
};

/* Counts all objects of a target, in a census of zeros, except `top`. Returns false if a heap is
 * damaged: what could be counted was counted. */
bool census_take(struct census *c, const struct look *l);
void census_free(struct census *c);

#endif

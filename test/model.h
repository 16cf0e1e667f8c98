/* SPDX-License-Identifier: MIT
 *
 * model.h - the heap as a child would write it: an array of chunks in address
 * order, searched from one end to the other. It has none of the library's code
 * and none of its structure, and says beforehand what every call must return.
 *
 * Positions are bytes from the start of the region.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>

enum { MODEL_CHUNKS_MAX = 1 << 16 };

enum model_fit { MODEL_BEST, MODEL_WORST, MODEL_FIRST };

struct model_chunk {
    size_t start, nbytes;
    size_t size; /* what was asked for; 0: free */
};

struct model {
    size_t region_bytes;
    size_t high; /* the highest that an object has reached since all was free */
    size_t n;
    struct model_chunk chunk[MODEL_CHUNKS_MAX];
};

void model_open(struct model *m, size_t region_bytes);

/* Where an object of `size` bytes goes, or -1 for no space. */
ptrdiff_t model_alloc(struct model *m, size_t size, enum model_fit fit);

/* The live object that a position lies in, or NULL. */
const struct model_chunk *model_find(const struct model *m, size_t position);

/* Frees the object that a position lies in, if there is one. */
bool model_free(struct model *m, size_t position);

/* What is free after the last chunk; its nbytes may be 0. */
struct model_chunk model_tail(const struct model *m);

#endif

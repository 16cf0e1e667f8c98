/* SPDX-License-Identifier: MIT
 *
 * model.h - the naive model of a heap: an array of chunks in address order. An allocation
 * looks at each of them; an address is searched by halving.
 *
 * The model shares no code and no data structure with the library, and predicts the result of
 * every call. Positions are in bytes from the start of the region.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>

enum { MODEL_CHUNKS_MAX = 1 << 16 };

enum model_fit { MODEL_BEST, MODEL_WORST, MODEL_FIRST };

struct model_chunk {
    size_t start, nbytes;
    size_t size; /* The requested size, or 0 if the chunk is free. */
};

struct model {
    size_t region_bytes;
    size_t high; /* The highest end of an object since the heap was last empty. */
    size_t n;
    struct model_chunk chunk[MODEL_CHUNKS_MAX];
};

void model_open(struct model *m, size_t region_bytes);

/* Returns the position of a new object of `size` bytes, or -1 if there is no space for it. */
ptrdiff_t model_alloc(struct model *m, size_t size, enum model_fit fit);

/* Returns the live object that contains the position, or NULL. */
const struct model_chunk *model_find(const struct model *m, size_t position);

/* Frees the live object that contains the position. Returns false if there is none. */
bool model_free(struct model *m, size_t position);

/* Returns the free space behind the last chunk; its nbytes may be 0. */
struct model_chunk model_tail(const struct model *m);

#endif

/* SPDX-License-Identifier: MIT
 *
 * cells.h - the region of a heap in cells, for pictures of it: what its bytes are, by kind.
 *
 *     region   |  cell 0  |  cell 1  |  cell 2  | ...     as large as it must be for the picture
 *     pieces   [object][free slot][object][ free ]  ...   to fit
 */
#ifndef CELLS_H
#define CELLS_H

#include "heaps.h"

/* What bytes of a region are. */
enum contents { SMALL, LARGE, SLACK, FREE_SLOT, FREE_CHUNK, RETURNED, METADATA, UNTOUCHED, NKINDS };

/* How each kind is shown: on a terminal by a colour of 16 (ANSI), or else by a letter. */
struct kind_look {
    const char *name, *json, *rgb;
    short colour;
    char letter;
};
extern const struct kind_look kinds[NKINDS];

enum { COLUMNS = 64 }; /* of cells, in a picture */

struct cell {
    uint64_t bytes[NKINDS];
};

struct map {
    const struct view *view;
    uint64_t cell_bytes, top_bytes; /* the region's, up to its top */
    size_t ncells;
    struct cell *cells;
    const struct extent *resident; /* NULL: not known */
    size_t nresident, at;          /* extents before `at` end below what comes next */
    uint64_t bytes[NKINDS], tail_bytes, largest_free, nobjects, nfree;
    uint64_t records_bytes;
};

/* Makes the map of a heap, of at most `ncells` cells, which the caller frees. Returns false if the
 * heap is damaged or cannot be read: the map has what came before that. */
bool map_make(struct map *m, const struct view *v, size_t ncells, const struct extent *resident,
              size_t n);

/* What is free or slack, as a part of that and of the objects' bytes. */
double map_fragmentation(const struct map *m);

/* What most of a cell is, and whether that is in use. */
enum contents cell_kind(const struct cell *c);
bool is_in_use(enum contents k);

/* Returns how much of a cell is in use, from 0 to 1. */
double cell_share(const struct cell *c);

/* A cell as a letter of its kind, for output without colours; and as a character of UTF-8 that is
 * the darker the more of the cell is in use, to be printed in the colour of its kind. */
char cell_letter(const struct cell *c);
const char *cell_shade(const struct cell *c);

#endif

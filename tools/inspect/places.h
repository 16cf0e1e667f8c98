/* SPDX-License-Identifier: MIT
 *
 * places.h - names for the places that pointers are in, as a person reads them.
 */
#ifndef PLACES_H
#define PLACES_H

#include "graph.h"
#include "symbols.h"

enum { PLACE_TEXT = 256 };

/* Writes where a pointer of a root is: "head in ./server", "register rbx of thread 4711", "the
 * stack of thread 4711, at 0x7ffd...". Returns `text`. */
char *place_text(struct symbols *s, const struct root *root, uint64_t place, char text[PLACE_TEXT]);

/* Writes what an object is: "the object of 96 B at 0x7f...", and in which heap it is, unless that
 * is malloc's. Returns `text`. */
char *object_text(const struct graph *g, uint32_t object, char text[PLACE_TEXT]);

#endif

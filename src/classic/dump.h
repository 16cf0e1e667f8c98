/* SPDX-License-Identifier: MIT
 *
 * dump.h - shows a heap to a person: the free chunks and slots, totals, and a picture.
 */
#ifndef DUMP_H
#define DUMP_H

#include "core/pieces.h"

/* Writes the dump of a heap, or that there is none, to the file descriptor `fd` [C8]. Allocates
 * nothing; takes the heap's lock, so that other threads wait. O(n log n). */
void dump_heap(struct heap *h, int fd);

#endif

/* SPDX-License-Identifier: MIT
 *
 * dump.h - shows a heap to a person: the free chunks, totals, and a map.
 */
#ifndef DUMP_H
#define DUMP_H

#include "core/pieces.h"

/* Writes to a file descriptor. Allocates nothing; other threads wait. O(n log n). */
void dump_heap(struct heap *h, int fd);

#endif

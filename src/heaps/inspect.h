/* SPDX-License-Identifier: MIT
 *
 * inspect.h - a heap of the caller's own seen from end to end: mem_walk, mem_stats, mem_check.
 */
#ifndef INSPECT_H
#define INSPECT_H

#include "core/pieces.h"
#include "heaps/session.h"

/* Checks the whole heap: the checksums, the ledger and the spans of each part, and the counts of
 * the header against a recount. Returns what is wrong, in words, or NULL. The caller holds the
 * lock, and has not begun a change. O(n log n). */
const char *inspect_fault(struct session *v);

/* Returns what is wrong with the header's counts of objects, if `n` are all that there are; or
 * NULL. */
const char *inspect_count_fault(const mem_heap *m, const struct recount *n);

#endif

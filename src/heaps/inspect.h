/* SPDX-License-Identifier: MIT
 *
 * recount.h - a heap walked from end to end: mem_walk, mem_stats, mem_check.
 */
#ifndef RECOUNT_H
#define RECOUNT_H

#include "heaps/session.h"

/* What is wrong, in words, or NULL. */
const char *inspect_fault(struct session *v);

#endif

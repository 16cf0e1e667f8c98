/* SPDX-License-Identifier: MIT
 *
 * find.h - what an address is: mem_find, mem_find_in.
 *
 *     find_fast     the slots of the heap that the thread found something in last
 *     find_slow   which heap? the registry; what in it? peek.h, and again while it changes
 *     find_locked   in one heap, when that has come to nothing too often
 *
 * All but the last are for signal handlers, too.
 */
#ifndef FIND_H
#define FIND_H

#include "heaps/session.h"

/* To the inside, the header is as far outside as anything; to the caller it is the heap's. */
enum mem_result find_verdict(const struct session *v, const void *address, enum heap_result result);

#endif

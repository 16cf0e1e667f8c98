/* SPDX-License-Identifier: MIT
 *
 * find.h - what an address is: mem_find, mem_find_in, and why a free was refused.
 *
 *     find_fast      a slot in the heap that the thread found something in last
 *     find_slow      mem_find: the registry says which heap, a lookup what is in it
 *     find_in_slow   mem_find_in: a lookup in the one heap
 *     find_locked    the same lookup under the heap's lock, when it kept changing
 *
 * All except the last are for signal handlers, too. There are two judges of an address in a heap:
 * core/heap.c's, for the calls that take and free under the lock, and the lookups (lookup.h), which
 * may run without it and do here.
 */
#ifndef FIND_H
#define FIND_H

#include "core/heap.h"
#include "heaps/session.h"

/* Makes of what core/heap.c says of an address the result for the caller: there the header is as
 * far outside as anything, but to the caller it is the heap's; and what is left over behind the
 * last slot of a span is no free memory. The session is at the address's part. */
enum mem_result find_verdict(const struct session *v, const void *address, enum heap_result result);

#endif

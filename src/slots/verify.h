/* SPDX-License-Identifier: MIT
 *
 * verify.h - whether the page map, the spans and their states are whole; and all that follows from
 * them, made anew.
 *
 *     given         page map: where; entry: class, purpose, state array; states       [VF1]
 *        |  spans_fault: each index and address is compared before it is followed
 *        v
 *     follows       slot size, slots, reciprocal, `back`; status, queue, countdown,   [VF2]
 *                   what is published; how many spans there are, how many are empty
 *
 *   VF1  what is given is stored once, and no call could find it out. So it is checked against what
 *        else is known: each span is one chunk of the ledger, and each such chunk is a span or the
 *        page map; each state array is a slot in use of a metadata span, and no slot is two; the
 *        objects are as many and as large as the heap has counted;
 *   VF2  what follows is checked in a heap in use (spans_links_fault), since calls go by it. A heap
 *        that is attached to gets it anew (spans_make_anew), whatever was written there;
 *   VF3  a check writes nothing, and reads nothing but the page map and the states, inside the
 *        region: it may be one of another process, or a copy at another address. Its time is linear
 *        in the slices and slots, apart from a search in the ledger for each span.
 *
 * The ledger was checked before, as everything here relies on it (ledger_fault), and so were the
 * numbers of `struct spans` that follow from the size of the region (heap_has_constants_of).
 *
 * The caller of each function holds the heap's lock. Threads with caches may take and free slots
 * meanwhile.
 */
#ifndef VERIFY_H
#define VERIFY_H

#include "slots/spans.h"

/* Returns in words what is wrong with what is given [VF1], or NULL. The addresses in the page map
 * are `moved` bytes lower than what they stand for is now. `n` is what ledger_fault has counted;
 * adds the objects in slots. If there is no page map, s->nheld is 0. If threads may have caches,
 * these are in metadata spans, too. */
const char *spans_fault(const struct spans *s, ptrdiff_t moved, bool has_tcaches,
                        struct recount *n);

/* Returns whether the slice's entry is that of a span of a class that the heap has, whose numbers
 * agree, and whose slices lie in the region. Reads no other entry. */
bool span_is_shaped(const struct spans *s, uint32_t slice);

/* Returns in words what is wrong with what follows [VF2], or NULL. spans_fault has found no fault
 * in what is given, with `moved` 0. If threads had caches, countdowns may have lost steps [SP5]. */
const char *spans_links_fault(const struct spans *s, bool had_tcaches);

/* Returns whether all entries of the page map are 0 above the last slice in use, where no span is.
 * That part of a large page map may never have been written to, and be no memory of the process. */
bool spans_rest_is_clear(const struct spans *s);

/* Corrects the addresses in the page map, which are `moved` bytes lower than what they stand for.
 * They were checked. */
void spans_move(struct spans *s, ptrdiff_t moved);

/* Makes all that follows anew [VF2], and corrects the addresses. spans_fault has found no fault. No
 * span has an owner afterwards, and the empty ones have gone back. */
void spans_make_anew(struct spans *s, ptrdiff_t moved);

#endif

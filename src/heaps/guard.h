/* SPDX-License-Identifier: MIT
 *
 * guard.h - guard pages: memory that any access to is a fault, around a heap's own data.
 *
 *     |##| header ... |##| objects -->  tail  |######|  <--  records |##|
 *                                            low   high
 *
 * Three of them stay where they are. The one between objects and records (ledger.h, LG6) moves:
 *
 *     down, for more records      |##########|   then   |######|
 *     up, for more objects            |##########|   then   |######|
 *
 *   GD1  [low, high) is a page or more that may not be touched, all the time;
 *   GD2  a lookup holds no lock, and may be reading records that have gone since. So the guard goes
 *        up only when all lookups that had begun have ended; a lookup that begins later sees that
 *        the ledger is changing, and reads no record;
 *   GD3  the system may refuse each half of a move: then the guard is wider than it need be, and
 *        the next move makes it narrow again;
 *   GD4  where the guard is stands in the header, with a seal of its own: a load that trusted an
 *        overwritten place would be a fault.
 */
#ifndef GUARD_H
#define GUARD_H

#include "base/region.h"
#include "ledger/ledger.h"

/* What stands in the header. */
struct stored_guard {
    uint32_t high, low;
    uint64_t seal;
};

/* How many pages more than other heaps one with guard pages takes: four guards, the header, and
 * the first records. */
enum { GUARD_MORE_PAGES = 6 };

/* Forbids three pages of a new mapping: the first one, the third one (behind the header's page),
 * and the last one. Returns false if the system refuses. */
bool guard_surround(const struct region *mapping);

/* Forbids the pages between objects and records, where an open ledger says that the guard is.
 * Returns false if the system refuses. */
bool guard_open(const struct region *r, const struct ledger *l);

/* Moves the guard to where a call that was refused wants it, so that the caller tries again.
 * Returns false if no call was refused for that, or if the system refuses. The caller holds the
 * lock of the heap. */
bool guard_move(const struct region *r, struct ledger *l);

/* Writes where the guard is, and the seal. */
void guard_save(const struct ledger *l, struct stored_guard *to);

/* Tells the ledger where the guard is, which has a page of `page` granules. Returns false, and
 * says that it is nowhere, if the seal does not match: the place was overwritten, or is being
 * changed. */
bool guard_load(const struct stored_guard *from, size_t page, struct ledger *l);

#endif

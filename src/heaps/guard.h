/* SPDX-License-Identifier: MIT
 *
 * fence.h - the guard page that goes up and down between the objects of a heap and its
 * records (ledger.h, LG6).
 *
 *     | objects  -->   tail   |######|   <--  records |
 *                            low   high
 *
 *     down, for more records      |##########|   then   |######|
 *     up, for more objects            |##########|   then   |######|
 *
 *   GD1  [low, high) is a page or more that nobody may touch, all the time;
 *   GD2  who asks about an address has no lock, and may be reading records that have gone
 *       since. So the fence goes up only when all of these have finished; who comes then
 *       sees that the ledger is changing, and reads nothing;
 *   GD3  the system may refuse each half of a move: then the fence is wider than it need be,
 *       and the next move makes it narrow again.
 */
#ifndef FENCE_H
#define FENCE_H

#include "ledger/ledger.h"
#include "base/region.h"

/* Makes an open ledger's fence one. False if the system refuses. */
bool guard_open(const struct region *r, const struct ledger *l);

/* To where a call that was refused wants it, so that it can be tried again. False: none was
 * refused for that, or the system refuses. Who calls has the lock of the heap. */
bool guard_move(const struct region *r, struct ledger *l);

#endif

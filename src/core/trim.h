/* SPDX-License-Identifier: MIT
 *
 * trim.h - when free pages go back to the system: the policy alone, without a clock.
 *
 * A page that goes back and is wanted again costs a fault, as much time as a hundred calls of
 * malloc; a page that stays costs memory. So what is free and dirty (it has not gone back)
 *
 *   TR1  goes if so much of it was there for a quarter of a second: what is wanted again and
 *       again stays. It waits longer if much went the last time, so that faults cost no more
 *       than three hundredths of the time;
 *   TR2  goes at once if the program has fallen to a small part of what it was: it may be
 *       about to idle, and then nobody asks again. But not more often than it could fall
 *       from its height three times at once, and then once a second.
 *
 * To wait is jemalloc's "decay"; to weigh a fault against time already spent is ski rental
 * (Karlin et al., "Competitive Snoopy Caching", 1988). All is in granules and milliseconds.
 */
#ifndef TRIM_H
#define TRIM_H

#include "ledger/ledger.h"

/* All 0 at first. */
struct trim {
    uint64_t again; /* when TR1 is looked at again: so long is l->least_dirty the least */
    uint64_t fell;  /* when TR2 was looked at, */
    uint64_t debt;  /* and granules that went for it, but for those that time has paid off */
};

/* Less than this is not worth the trouble. `nspare` granules that are live have no pages. */
static inline uint32_t trim_least(const struct ledger *l, uint32_t nspare)
{
    enum { LITTLE = (1 << 20) / GRANULE_BYTES, PART_OF_USED = 32, PART_OF_LIVE = 4 };
    uint32_t little = (l->used - nspare) / PART_OF_USED;
    return (little > LITTLE ? little : LITTLE) + (l->nlive - nspare) / PART_OF_LIVE;
}

/* Should all that is dirty go back? If so, it does. */
bool trim_decide(struct trim *t, struct ledger *l, uint32_t nspare, uint64_t now);

#endif

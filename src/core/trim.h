/* SPDX-License-Identifier: MIT
 *
 * trim.h - when free pages go back to the system: the policy alone, without a clock.
 *
 * A page that goes back and is wanted again costs a fault, as much time as a hundred calls of
 * malloc; a page that stays costs memory. Free memory is dirty if it was written to and has not
 * gone back since. It
 *
 *   TR1  goes if enough of it (trim_least) was dirty during a whole quarter of a second: memory
 *        that is used again and again stays. The next wait is longer if much went the last
 *        time, so that faults take at most three hundredths of the time;
 *   TR2  goes at once if the program has fallen to a small part of what it was: the program may
 *        be about to idle, and then no later call would ask. But it goes at most as often as the
 *        program could fall from its height three times at once, and then once a second;
 *   TR3  goes when live and dirty memory together would grow beyond their peak, if the time since
 *        pages last went has paid for the faults: then the peak is what is live at most, and
 *        little (trim_little) beside it. A program that replaces its memory faster pays for no
 *        fault, and its peak grows;
 *   TR4  goes at once if 64 MiB more are dirty than are live, where time has paid as for TR3.
 *
 * TR1 is jemalloc's "decay". TR2 weighs faults against time already spent, as ski rental does
 * (Karlin et al., "Competitive Snoopy Caching", 1988). All is in granules and milliseconds. The
 * caller holds the heap's lock.
 */
#ifndef TRIM_H
#define TRIM_H

#include "ledger/ledger.h"

/* The peak of a heap that gives no pages back: it never grows beyond that, so TR3 is not asked. */
#define TRIM_NEVER UINT64_MAX

/* All 0 at first, except `gone`, which is when the heap was opened. */
struct trim {
    uint64_t again; /* when TR1 is asked again; l->least_dirty is the least until then */
    uint64_t gone;  /* when pages last went, and were paid for; time since pays for TR3 and TR4 */
    uint64_t peak;  /* the most granules that were live or dirty at once; or TRIM_NEVER */
    uint64_t fell;  /* when TR2 was last asked in a small program */
    uint64_t debt;  /* the granules that went for TR2, less those that time has paid off */
};

/* Returns how many dirty granules are too few for a call of the system. `nspare` of the live
 * granules have no pages. */
static inline uint32_t trim_little(const struct ledger *l, uint32_t nspare)
{
    enum { LITTLE = (1 << 20) / GRANULE_BYTES, PART_OF_USED = 32 };
    uint32_t little = (l->used - nspare) / PART_OF_USED;
    return little > LITTLE ? little : LITTLE;
}

/* Returns how many granules have to be dirty for TR1, TR2 and TR4 to give them back. */
static inline uint32_t trim_least(const struct ledger *l, uint32_t nspare)
{
    enum { PART_OF_LIVE = 4 };
    return trim_little(l, nspare) + (l->live_granules - nspare) / PART_OF_LIVE;
}

/* Returns whether TR3 has to be asked. */
static inline bool trim_is_peak(const struct trim *t, const struct ledger *l)
{
    return (uint64_t)l->live_granules + l->ndirty > t->peak;
}

/* Decides whether all that is dirty should go back at the time `now`, and notes what later
 * decisions depend on. If it returns true, the caller gives the memory back and sets l->ndirty
 * to 0. */
bool trim_decide(struct trim *t, struct ledger *l, uint32_t nspare, uint64_t now);

/* Decides so for TR3, before what was handed out is written to. */
bool trim_decide_at_peak(struct trim *t, const struct ledger *l, uint32_t nspare, uint64_t now);

#endif

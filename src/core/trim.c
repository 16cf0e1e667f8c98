/* SPDX-License-Identifier: MIT */
#include "core/trim.h"

/* In a millisecond, if three hundredths of it are for faults of half a microsecond each. */
enum { A_MILLISECOND = (256 << 10) / GRANULE_BYTES };

/* TR1: was there enough all the time? Asked once in A_WHILE. */
static bool judge_stayed(struct trim *t, struct ledger *l, uint32_t nspare, uint64_t now)
{
    enum { A_WHILE = 250 };
    if (now < t->again)
        return false;
    bool stayed = l->least_dirty >= trim_least(l, nspare);
    t->again = now + A_WHILE + (stayed ? l->ndirty / A_MILLISECOND : 0);
    l->least_dirty = l->ndirty;
    return stayed;
}

/* What is very much is worth it even if the program goes on. */
static bool is_small(const struct ledger *l, uint32_t nspare)
{
    enum { PART = 8, MUCH = (64 << 20) / GRANULE_BYTES };
    uint32_t nlive = l->nlive - nspare;
    return nlive < (l->used - nspare) / PART || l->ndirty >= (uint64_t)nlive + MUCH;
}

/* TR2: is it small, and has not been so again and again? */
static bool judge_fallen(struct trim *t, const struct ledger *l, uint32_t nspare, uint64_t now)
{
    enum { A_SECOND = 1000, FALLS = 3 };
    uint64_t whole = l->used - nspare;
    if (!is_small(l, nspare))
        return false;
    uint64_t elapsed = now - t->fell < FALLS * A_SECOND ? now - t->fell : FALLS * A_SECOND;
    uint64_t paid = elapsed * (whole / A_SECOND + 1);
    t->debt -= paid < t->debt ? paid : t->debt;
    t->fell = now;
    if (t->debt > FALLS * whole)
        return false;
    t->debt += l->ndirty;
    return true;
}

bool trim_decide(struct trim *t, struct ledger *l, uint32_t nspare, uint64_t now)
{
    return l->ndirty >= trim_least(l, nspare) &&
           (judge_fallen(t, l, nspare, now) || judge_stayed(t, l, nspare, now));
}

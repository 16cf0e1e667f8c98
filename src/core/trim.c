/* SPDX-License-Identifier: MIT
 *
 * trim.c - decides when free pages go back to the system: when they were there long enough, or when
 * the program has become small. Invariants: trim.h.
 */
#include "core/trim.h"

/* The granules that a millisecond pays for, if three hundredths of it are for faults of half a
 * microsecond each. */
enum { A_MILLISECOND = (256 << 10) / GRANULE_BYTES };

/* How long memory has to stay dirty for TR1, in milliseconds. */
enum { A_WHILE = 250 };

/* TR1: whether enough was dirty all the time since this was last asked, which is once in
 * A_WHILE. */
static bool judge_stayed(struct trim *t, struct ledger *l, uint32_t nspare, uint64_t now)
{
    if (now < t->again)
        return false;
    bool stayed = l->least_dirty >= trim_least(l, nspare);
    t->gone = stayed ? now + l->ndirty / A_MILLISECOND : t->gone;
    t->again = now + A_WHILE + (stayed ? l->ndirty / A_MILLISECOND : 0);
    l->least_dirty = l->ndirty;
    assert(t->again > now); /* or it would be asked at every free */
    return stayed;
}

/* Pays for the faults that all that is dirty may cost, with the time since pages last went. Returns
 * false, and changes nothing, if that time is too short. */
static bool pay(struct trim *t, const struct ledger *l, uint64_t now)
{
    if (now < t->gone || (now - t->gone) * A_MILLISECOND < l->ndirty)
        return false;
    t->gone = now;
    t->again = now + A_WHILE;
    return true;
}

/* TR2: whether the program is small, and was not small again and again. Each time, what
 * goes back becomes debt, which time pays off: once the size of the whole program each second.
 * The debt never grows beyond what FALLS times the whole program would cost, so a program that
 * grows and shrinks faster than that keeps its memory. */
static bool judge_fallen(struct trim *t, const struct ledger *l, uint32_t nspare, uint64_t now)
{
    enum { A_SECOND = 1000, FALLS = 3, PART = 8 };
    uint64_t whole = l->used - nspare;
    if (l->live_granules - nspare >= whole / PART)
        return false;
    uint64_t elapsed = now - t->fell < FALLS * A_SECOND ? now - t->fell : FALLS * A_SECOND;
    uint64_t paid = elapsed * (whole / A_SECOND + 1);
    t->debt -= paid < t->debt ? paid : t->debt;
    t->fell = now;
    assert(elapsed <= FALLS * A_SECOND && t->fell <= now);
    if (t->debt > FALLS * whole)
        return false;
    t->debt += l->ndirty;
    return true;
}

/* TR4: whether so much is dirty beside what is live that it goes. */
static bool judge_much(struct trim *t, const struct ledger *l, uint32_t nspare, uint64_t now)
{
    enum { MUCH = (64 << 20) / GRANULE_BYTES };
    return l->ndirty >= (uint64_t)(l->live_granules - nspare) + MUCH && pay(t, l, now);
}

/* TR2 is asked first, because it notes the time of a fall even where TR1 would give the memory back
 * anyway. None of the three is asked while there is too little to be worth it. */
bool trim_decide(struct trim *t, struct ledger *l, uint32_t nspare, uint64_t now)
{
    assert(nspare <= l->live_granules && nspare <= l->used); /* spare granules are live ones */
    return l->ndirty >= trim_least(l, nspare) &&
           (judge_fallen(t, l, nspare, now) || judge_much(t, l, nspare, now) ||
            judge_stayed(t, l, nspare, now));
}

bool trim_decide_at_peak(struct trim *t, const struct ledger *l, uint32_t nspare, uint64_t now)
{
    assert(trim_is_peak(t, l));
    return l->ndirty >= trim_little(l, nspare) && pay(t, l, now);
}

/* SPDX-License-Identifier: MIT
 *
 * huge.c - decides whether huge pages are asked for, and when one is timed. Invariants: huge.h.
 */
#include "core/huge.h"

enum { HUGE_SLOW = 2, HUGE_SHORTEST = 5, HUGE_FACTOR = 4, HUGE_LONGEST = 1000 };

/* Under a hypervisor with page tables of its own it was 9 us, elsewhere at most 3. The limit lies
 * between them. If many pages are timed wrongly, so that fast ones seem slow, a heap has some MiB
 * more than it should, and waits for huge pages where these are slow to come. */
void huge_note_small(struct huge *h, uint64_t took)
{
    enum { SLOW_NS = 5000 };
    h->knows_small = true;
    h->always = took >= SLOW_NS;
    if (!h->always)
        h->next = HUGE_HEAP - HUGE_AHEAD;
}

/* A page takes less than HUGE_LONGEST; if the thread never notes its time, since a fork left it
 * behind, another page is timed then. */
enum huge_answer huge_ask(struct huge *h, bool can_time, uint64_t now)
{
    if (h->always)
        return HUGE_YES;
    if (now < h->again || !can_time)
        return h->slow ? HUGE_NO : HUGE_YES;
    h->again = now + HUGE_LONGEST;
    return HUGE_TIME_ONE;
}

/* A fast page ends the pauses, so that the next slow one begins with the shortest again. */
bool huge_note(struct huge *h, uint64_t took, uint64_t now)
{
    uint64_t longer = h->slow ? h->pause * HUGE_FACTOR : HUGE_SHORTEST * HUGE_FACTOR;
    h->slow = took >= HUGE_SLOW;
    h->pause = h->slow ? smaller_of(longer, HUGE_LONGEST) : HUGE_SHORTEST;
    h->again = now + h->pause;
    return !h->slow;
}

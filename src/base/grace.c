/* SPDX-License-Identifier: MIT
 *
 * grace.c - the writer's side of a grace period: the barrier and the wait. Invariants: grace.h.
 */
#include "base/grace.h"

#include "base/os.h"

/* Two threads that come at the same time both ask, and get one answer. */
bool grace_open(void)
{
    enum { UNKNOWN, OPEN, REFUSED };
    static uint8_t answer;
    uint8_t known = __atomic_load_n(&answer, __ATOMIC_RELAXED);
    if (known == UNKNOWN) {
        known = os_barrier_open() ? OPEN : REFUSED;
        __atomic_store_n(&answer, known, __ATOMIC_RELAXED);
    }
    return known == OPEN;
}

bool grace_barrier(void)
{
    return os_barrier();
}

/* A busy reader has a few instructions left. It is running, or waits for a processor. */
void grace_wait(const uint32_t *word, uint32_t busy)
{
    assert(busy != 0);
    for (unsigned n = 0; !grace_has_left(word, busy); n++)
        os_pause(n);
}

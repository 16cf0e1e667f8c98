/* SPDX-License-Identifier: MIT
 *
 * grace.c - the writer's side of a grace period: the barrier and the wait. Invariants: grace.h.
 */
#include "base/grace.h"

#include "base/os.h"

bool grace_open(void)
{
    return os_barrier_open();
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

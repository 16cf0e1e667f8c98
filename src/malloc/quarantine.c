/* SPDX-License-Identifier: MIT
 *
 * quarantine.c - a ring of the objects that were freed last. Invariants: quarantine.h.
 */
#include "malloc/quarantine.h"

#include "base/os.h"

/* A place for each 64 bytes: smaller objects may fill the ring before they fill its bytes. */
bool quarantine_open(struct quarantine *q, size_t most)
{
    enum { BYTES_EACH = 64, LEAST = 256 };
    size_t nplaces = LEAST;
    while (nplaces < most / BYTES_EACH)
        nplaces *= 2;
    struct held *ring = os_map(os_whole_pages(nplaces * sizeof *ring));
    if (ring == NULL)
        return false;
    *q = (struct quarantine){.ring = ring, .nplaces = nplaces, .most = most};
    return true;
}

void quarantine_push(struct quarantine *q, struct held held, size_t nbytes)
{
    assert(q->n < q->nplaces);
    q->ring[(q->first + q->n) & (q->nplaces - 1)] = held;
    q->n++;
    q->nbytes += nbytes;
}

bool quarantine_is_full(const struct quarantine *q)
{
    return q->n == q->nplaces || (q->n > 1 && q->nbytes > q->most);
}

bool quarantine_oldest(const struct quarantine *q, struct held *held)
{
    if (q->n == 0)
        return false;
    *held = q->ring[q->first];
    return true;
}

void quarantine_pop(struct quarantine *q, size_t nbytes)
{
    assert(q->n > 0 && nbytes <= q->nbytes);
    q->first = (q->first + 1) & (q->nplaces - 1);
    q->n--;
    q->nbytes -= nbytes;
}

/* SPDX-License-Identifier: MIT
 *
 * quarantine.h - the objects that were freed last and are not given back yet, the oldest first.
 *
 *     freed --push--> [ newest | ... | oldest ] --pop--> the heap
 *
 *   QA1  it holds at most `most` bytes, and at least the object that was freed last, however large
 *        it is: an object of its own is never used again at once;
 *   QA2  the ring lies in a mapping of its own, where no overrun of an object reaches it.
 *
 * The caller holds the heap's lock.
 */
#ifndef QUARANTINE_H
#define QUARANTINE_H

#include "base/base.h"

/* An object that was freed, and the size that it had. */
struct held {
    void *start;
    size_t size;
};

/* All 0: there is none, and it holds nothing. */
struct quarantine {
    struct held *ring;
    size_t nplaces; /* a power of two */
    size_t first, n;
    size_t nbytes, most;
};

/* Makes a quarantine for `most` bytes. Returns false if the system refuses the memory for the ring:
 * a quarter of that at most, touched only as far as it is used. */
bool quarantine_open(struct quarantine *q, size_t most);

/* Adds the newest object, which counts as nbytes. The quarantine is not full. */
void quarantine_push(struct quarantine *q, struct held held, size_t nbytes);

/* Returns whether the oldest has to go now [QA1]. */
bool quarantine_is_full(const struct quarantine *q);

/* Stores the oldest. Returns false if there is none. */
bool quarantine_oldest(const struct quarantine *q, struct held *held);

/* Removes the oldest, which counted as nbytes. */
void quarantine_pop(struct quarantine *q, size_t nbytes);

#endif

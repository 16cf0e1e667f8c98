/* SPDX-License-Identifier: MIT
 *
 * queue.h - the queues of spans without an owner: for each purpose and size class one queue of
 * PARTIAL spans and one of EMPTY spans.
 *
 *     queue --> first <--> second <--> ... <--> last <--> first       a ring through the entries
 *
 *   QU1  a span is in the queue that its status, purpose and class name, if its status is PARTIAL
 *        or EMPTY; else in none;
 *   QU2  the span that has waited longest comes first.
 *
 * The caller holds the heap's lock.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include "slots/pagemap.h"

/* Returns where the first span of a queue stands. The page map must be there. */
static inline uint32_t *queue_at(const struct spans *s, int purpose, unsigned sizeclass, bool empty)
{
    assert(s->nheld > 0); /* else there is no page map [PM3] */
    assert(purpose >= 0 && purpose < NPURPOSES && sizeclass < NCLASSES);
    struct queues *q = (struct queues *)region_at(spans_region(s), s->pagemap) + purpose;
    return empty ? &q->empty[sizeclass] : &q->partial[sizeclass];
}

/* Returns the first span of a queue, as the slice that it begins at, or NO_SLICE if the queue is
 * empty. */
static inline uint32_t queue_first(const struct spans *s, int purpose, unsigned sizeclass,
                                   bool empty)
{
    return s->nheld > 0 ? *queue_at(s, purpose, sizeclass, empty) : NO_SLICE;
}

/* Gives a span, which is in no queue, that status and puts it at the end of the queue. The owner
 * that comes next wants the span that has waited longest, since by then most of it is free. */
void queue_push(struct spans *s, uint32_t slice, enum span_status status);

/* Takes a span out of its queue. Its status stays; the caller gives it another. */
void queue_remove(struct spans *s, uint32_t slice);

/* Returns how many spans are in the queue; or more than there are slices in spans, if the ring
 * is broken, or if a span in it belongs elsewhere. The page map may be damaged. */
uint32_t queue_length(const struct spans *s, int purpose, unsigned sizeclass,
                      enum span_status status);

#endif

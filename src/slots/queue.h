/* SPDX-License-Identifier: MIT
 *
 * queue.h - the queues of a size class.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include "slots/pagemap.h"

/* Only while there are spans. */
static inline uint32_t *queue_at(const struct spans *s, int purpose, unsigned sizeclass, bool empty)
{
    struct queues *q = (struct queues *)region_at(spans_region(s), s->pagemap) + purpose;
    return empty ? &q->empty[sizeclass] : &q->partial[sizeclass];
}

static inline uint32_t queue_first(const struct spans *s, int purpose, unsigned sizeclass,
                                   bool empty)
{
    return s->nheld > 0 ? *queue_at(s, purpose, sizeclass, empty) : NO_SLICE;
}

/* At the end: who waits longest is the first to be wanted, since by then most of it is free. */
void queue_push(struct spans *s, uint32_t slice, enum span_status status);

void queue_remove(struct spans *s, uint32_t slice);

/* How many spans are in the queue; more than there are units, if it is broken. */
uint32_t queue_length(const struct spans *s, int purpose, unsigned sizeclass,
                      enum span_status status);

#endif

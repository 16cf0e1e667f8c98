/* SPDX-License-Identifier: MIT
 *
 * queue.c - puts spans into queues and takes them out. Invariants: queue.h.
 */
#include "slots/queue.h"

/* Returns where the first span of the queue stands that a span belongs to [QU1]. */
static uint32_t *queue_of(const struct spans *s, const struct span *span)
{
    return queue_at(s, span->purpose, span->sizeclass, span->status == SPAN_EMPTY);
}

/* last <--> first => last <--> this <--> first */
void queue_push(struct spans *s, uint32_t slice, enum span_status status)
{
    assert(status == SPAN_PARTIAL || status == SPAN_EMPTY);
    assert(slice <= s->nclear && pagemap_span(s, slice)->slot_bytes != 0);
    struct span *span = pagemap_span(s, slice);
    span->status = (uint8_t)status;
    uint32_t *first = queue_of(s, span);
    /* The first span of an empty queue is a ring of its own. */
    if (*first == NO_SLICE)
        *first = span->next = span->previous = slice;
    span->next = *first;
    span->previous = pagemap_span(s, *first)->previous;
    pagemap_span(s, span->previous)->next = slice;
    pagemap_span(s, *first)->previous = slice;
    s->nempty += status == SPAN_EMPTY ? span_nslices(span) : 0;
}

/* previous <--> this <--> next => previous <--> next */
void queue_remove(struct spans *s, uint32_t slice)
{
    struct span *span = pagemap_span(s, slice);
    assert(span->status == SPAN_PARTIAL || span->status == SPAN_EMPTY);
    assert(pagemap_span(s, span->previous)->next == slice);
    assert(pagemap_span(s, span->next)->previous == slice);
    assert(s->nempty >= (span->status == SPAN_EMPTY ? span_nslices(span) : 0));
    uint32_t *first = queue_of(s, span);
    assert(*first != NO_SLICE);
    if (*first == slice)
        *first = span->next == slice ? NO_SLICE : span->next;
    pagemap_span(s, span->previous)->next = span->next;
    pagemap_span(s, span->next)->previous = span->previous;
    s->nempty -= span->status == SPAN_EMPTY ? span_nslices(span) : 0;
}

/* Each step compares what it reads with the page map. A ring in which each link forward has its
 * link back ends where it began. */
uint32_t queue_length(const struct spans *s, int purpose, unsigned sizeclass,
                      enum span_status status)
{
    uint32_t first = queue_first(s, purpose, sizeclass, status == SPAN_EMPTY);
    uint32_t n = 0, slice = first;
    if (first == NO_SLICE)
        return 0;
    do {
        const struct span *span = slice <= pagemap_nslices(s) ? pagemap_span(s, slice) : NULL;
        /* The right kind of span, and a link forward that has its link back. */
        if (span == NULL || span->purpose != purpose || span->sizeclass != sizeclass ||
            span->status != status || span->next == NO_SLICE || span->next > pagemap_nslices(s) ||
            pagemap_span(s, span->next)->previous != slice)
            return s->nheld + 1;
        slice = span->next;
        n++;
    } while (slice != first);
    return n;
}

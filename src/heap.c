/* SPDX-License-Identifier: MIT */
#include "heap.h"

void heap_lock(struct heap *h)
{
    pthread_mutex_lock(&h->lock);
}

void heap_unlock(struct heap *h)
{
    pthread_mutex_unlock(&h->lock);
}

void heap_open_locked(struct heap *h, struct region region, MemNodePtr *head)
{
    assert((uintptr_t)region.base % GRANULE_BYTES == 0 && region.nbytes <= REGION_BYTES_MAX);
    region.nbytes -= region.nbytes % GRANULE_BYTES;
    h->region = region;
    h->list = (struct freelist){&h->region, &h->ledger, head};
    ledger_open(&h->ledger, region.base + region.nbytes, region.nbytes);
    if (head != NULL)
        freelist_mend_all(&h->list);
}

/* --- taking ---------------------------------------------------------------- */

/* A heap without a free list has no node that could be wrong. */
static bool look_locked(const struct heap *h, uint32_t start, uint32_t end,
                        struct freelist_spot *spot)
{
    if (h->list.head == NULL)
        return true;
    freelist_look(&h->list, start, end, spot);
    return spot->here_right;
}

static enum heap_result take_locked(struct heap *h, size_t nbytes, enum fit fit, void **object)
{
    size_t ngranules = ceil_div(nbytes, GRANULE_BYTES);
    struct chunk from;
    struct freelist_spot spot;
    if (h->region.base == NULL)
        return HEAP_NO_REGION;
    if (ngranules > UINT32_MAX || !ledger_choose(&h->ledger, (uint32_t)ngranules, fit, &from))
        return HEAP_NO_SPACE;
    if (!look_locked(h, from.start, from.start, &spot)) {
        freelist_mend(&h->list, &spot);
        return HEAP_DAMAGED;
    }
    uint32_t slack = (uint32_t)(ngranules * GRANULE_BYTES - nbytes);
    uint32_t length = ledger_take(&h->ledger, &from, (uint32_t)ngranules, slack);
    if (h->list.head != NULL)
        freelist_taken(&h->list, &spot, length);
    *object = region_at(&h->region, from.start);
    return HEAP_OK;
}

enum heap_result heap_take(struct heap *h, size_t nbytes, enum fit fit, void **object)
{
    heap_lock(h);
    enum heap_result result = take_locked(h, nbytes, fit, object);
    heap_unlock(h);
    return result;
}

/* --- judging --------------------------------------------------------------- */

/* The one place where an address is judged. */
static enum heap_result judge_locked(const struct heap *h, const void *address, struct chunk *c,
                                     size_t *size)
{
    size_t offset = region_offset(&h->region, address);
    if (offset >= h->region.nbytes)
        return HEAP_NOT_OURS;
    if (!ledger_find(&h->ledger, (uint32_t)(offset / GRANULE_BYTES), c))
        return HEAP_NO_OBJECT; /* the ledger, or what is left over below it */
    if (c->state == 0)
        return HEAP_FREE;
    *size = (size_t)c->length * GRANULE_BYTES - (c->state - 1);
    if (offset - (size_t)c->start * GRANULE_BYTES >= *size)
        return HEAP_NO_OBJECT; /* slack behind the last byte */
    return HEAP_OK;
}

enum heap_result heap_find(struct heap *h, const void *address, struct object *found)
{
    struct chunk c;
    heap_lock(h);
    enum heap_result result = judge_locked(h, address, &c, &found->size);
    if (result == HEAP_OK)
        found->start = region_at(&h->region, c.start);
    heap_unlock(h);
    return result;
}

enum heap_result heap_free(struct heap *h, const void *address)
{
    struct chunk c;
    struct freelist_spot spot;
    size_t size;
    heap_lock(h);
    enum heap_result result = judge_locked(h, address, &c, &size);
    if (result == HEAP_OK) {
        look_locked(h, c.start, c.start + c.length, &spot);
        ledger_give_back(&h->ledger, c.start);
        if (h->list.head != NULL)
            freelist_given(&h->list, &spot, c.start + c.length);
    }
    heap_unlock(h);
    return result;
}

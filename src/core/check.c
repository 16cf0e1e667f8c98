/* SPDX-License-Identifier: MIT */
#include "core/check.h"

const char *check_fault_locked(const struct heap *h)
{
    const char *fault = ledger_fault(&h->chunks.ledger);
    if (fault == NULL && !spans_are_valid(&h->spans))
        fault = "the map, a queue or the states of the slots contradict each other";
    return fault;
}

enum heap_result check_heap_locked(const struct heap *h)
{
    if (h->chunks.region.base == NULL)
        return HEAP_NO_REGION;
    if (check_fault_locked(h) != NULL)
        return HEAP_DAMAGED;
    bool damaged = h->chunks.list.head != NULL && freelist_mend_all(&h->chunks.list) > 0;
    return damaged ? HEAP_LIST_DAMAGED : HEAP_OK;
}

enum heap_result check_heap(struct heap *h)
{
    heap_lock(h);
    enum heap_result result = check_heap_locked(h);
    heap_unlock(h);
    return result;
}

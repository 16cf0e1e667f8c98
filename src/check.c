/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "panic.h"

enum heap_result check_heap(struct heap *h)
{
    heap_lock(h);
    if (!ledger_is_valid(&h->ledger))
        panic("the ledger contradicts itself");
    bool damaged = h->damaged;
    h->damaged = false;
    if (h->list.head != NULL)
        damaged |= freelist_settle_all(&h->list) > 0;
    heap_unlock(h);
    return damaged ? HEAP_DAMAGED : HEAP_OK;
}

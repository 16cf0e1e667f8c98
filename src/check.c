/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "panic.h"

enum heap_result check_heap(struct heap *h)
{
    heap_lock(h);
    if (!ledger_is_valid(&h->ledger))
        panic("the ledger contradicts itself");
    size_t ndamaged = h->list.head != NULL ? freelist_mend_all(&h->list) : 0;
    heap_unlock(h);
    return ndamaged > 0 ? HEAP_DAMAGED : HEAP_OK;
}

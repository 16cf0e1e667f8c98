/* SPDX-License-Identifier: MIT */
#include "heaps/guard.h"

#include "base/os.h"
#include "heaps/registry.h"

static bool forbid(const struct region *r, uint32_t from, uint32_t to)
{
    return os_forbid(region_at(r, from), (size_t)(to - from) * GRANULE_BYTES);
}

static bool allow(const struct region *r, uint32_t from, uint32_t to)
{
    return os_allow(region_at(r, from), (size_t)(to - from) * GRANULE_BYTES);
}

bool fence_open(const struct region *r, const struct ledger *l)
{
    return forbid(r, l->fence.low, l->fence.high);
}

/* So that it is all of [low, high), too. */
static bool widen(const struct region *r, struct ledger *l, uint32_t low, uint32_t high)
{
    const struct fence *f = &l->fence;
    if (low < f->low) {
        if (!forbid(r, low, f->low))
            return false;
        ledger_set_fence(l, low, f->high);
    }
    if (high > f->high) {
        if (!registry_wait_for_all() || !forbid(r, f->high, high)) /* G2 */
            return false;
        ledger_set_fence(l, f->low, high);
    }
    return true;
}

/* So that it is no more than that. */
static bool narrow(const struct region *r, struct ledger *l, uint32_t low, uint32_t high)
{
    const struct fence *f = &l->fence;
    if (low > f->low) {
        if (!allow(r, f->low, low))
            return false;
        ledger_set_fence(l, low, f->high);
    }
    if (high < f->high) {
        if (!allow(r, high, f->high))
            return false;
        ledger_set_fence(l, f->low, high);
    }
    return true;
}

bool fence_move(const struct region *r, struct ledger *l)
{
    uint32_t low = l->fence.wanted, high = low + l->fence.page;
    l->fence.wanted = 0;
    if (low == 0)
        return false;
    change_begin(&l->changes);
    bool moved = widen(r, l, low, high) && narrow(r, l, low, high);
    change_end(&l->changes);
    return moved;
}

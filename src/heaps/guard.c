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

bool guard_open(const struct region *r, const struct ledger *l)
{
    return forbid(r, l->guard.low, l->guard.high);
}

/* So that it is all of [low, high), too. */
static bool widen(const struct region *r, struct ledger *l, uint32_t low, uint32_t high)
{
    const struct guard *f = &l->guard;
    if (low < f->low) {
        if (!forbid(r, low, f->low))
            return false;
        ledger_set_guard(l, low, f->high);
    }
    if (high > f->high) {
        if (!registry_wait_for_readers() || !forbid(r, f->high, high)) /* GD2 */
            return false;
        ledger_set_guard(l, f->low, high);
    }
    return true;
}

/* So that it is no more than that. */
static bool narrow(const struct region *r, struct ledger *l, uint32_t low, uint32_t high)
{
    const struct guard *f = &l->guard;
    if (low > f->low) {
        if (!allow(r, f->low, low))
            return false;
        ledger_set_guard(l, low, f->high);
    }
    if (high < f->high) {
        if (!allow(r, high, f->high))
            return false;
        ledger_set_guard(l, f->low, high);
    }
    return true;
}

bool guard_move(const struct region *r, struct ledger *l)
{
    uint32_t low = l->guard.wanted_low, high = low + l->guard.page;
    l->guard.wanted_low = 0;
    if (low == 0)
        return false;
    change_begin(&l->changes);
    bool moved = widen(r, l, low, high) && narrow(r, l, low, high);
    change_end(&l->changes);
    return moved;
}

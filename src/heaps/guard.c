/* SPDX-License-Identifier: MIT
 *
 * guard.c - guard pages: forbidden, moved, and where they are written down. Invariants: guard.h.
 *
 * The ledger never moves the guard. It refuses a call for which the guard is in the way, and notes
 * where its low end would have to be (wanted_low). Then the caller has it moved, and tries again:
 *
 *     objects |####|    records     the records need a page more, or the objects do
 *     objects |####^####|           widen: forbid the new place, too
 *     objects      |####| records   narrow: allow what the guard has left
 *
 * Each step is one system call, and the ledger is told after each: if the next one is refused, the
 * guard is wider than a page, which is sound [GD3].
 */
#include "heaps/guard.h"

#include "base/os.h"
#include "base/seqcount.h"
#include "heaps/header.h"
#include "heaps/registry.h"

/* Makes the granules [from, to), whole pages, a fault to touch. */
static bool forbid(const struct region *r, uint32_t from, uint32_t to)
{
    assert(from < to);
    return os_forbid(region_at(r, from), (size_t)(to - from) * GRANULE_BYTES);
}

/* Makes them memory again, with whatever they held. */
static bool allow(const struct region *r, uint32_t from, uint32_t to)
{
    assert(from < to);
    return os_allow(region_at(r, from), (size_t)(to - from) * GRANULE_BYTES);
}

/* --- opening -------------------------------------------------------------------- */

bool guard_surround(const struct region *mapping)
{
    size_t page = os_page_bytes();
    assert((uintptr_t)mapping->base % page == 0 && mapping->nbytes % page == 0);
    assert(mapping->nbytes >= GUARD_MORE_PAGES * page);
    return os_forbid(mapping->base, page) && os_forbid(mapping->base + 2 * page, page) &&
           os_forbid(mapping->base + mapping->nbytes - page, page);
}

bool guard_open(const struct region *r, const struct ledger *l)
{
    assert(l->guard.page > 0 && l->guard.high - l->guard.low == l->guard.page);
    return forbid(r, l->guard.low, l->guard.high);
}

/* --- moving --------------------------------------------------------------------- */

/*  [ low ... f->low ######## f->high ... high )  =>  all of [low, high) is forbidden, too. */
static bool guard_widen(const struct region *r, struct ledger *l, uint32_t low, uint32_t high)
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

/*  f->low ### [ low #### high ) ### f->high  =>  nothing but [low, high) is forbidden. */
static bool guard_narrow(const struct region *r, struct ledger *l, uint32_t low, uint32_t high)
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

/* At each moment a page or more is forbidden [GD1]: the guard is made wide enough for its old and
 * its new place first. `changes` is odd meanwhile, so that no lookup that begins now reads records.
 * A call in a heap without guard pages wants none moved: `wanted_low` is 0. */
bool guard_move(const struct region *r, struct ledger *l)
{
    uint32_t low = l->guard.wanted_low, high = low + l->guard.page;
    l->guard.wanted_low = 0;
    if (low == 0)
        return false;
    assert(l->guard.page > 0 && low < high);
    assert(l->guard.high - l->guard.low >= l->guard.page); /* GD1 */
    change_begin(&l->changes);
    bool moved = guard_widen(r, l, low, high) && guard_narrow(r, l, low, high);
    change_end(&l->changes);
    assert(l->guard.high - l->guard.low >= l->guard.page);
    assert(!moved || (l->guard.low == low && l->guard.high == high));
    return moved;
}

/* --- where it is ------------------------------------------------------------------ */

/* A call that went by an overwritten place would touch a guard page. So the place has a seal beside
 * the checksum: a change of one bit of `high` changes at least five bytes of it [GD4]. */
RACING static uint64_t seal_of(uint32_t low, uint32_t high)
{
    return (((uint64_t)low << 32 | high) ^ HEAP_MAGIC) * 0x9E3779B97F4A7C15;
}

void guard_save(const struct ledger *l, struct stored_guard *to)
{
    uint32_t low = l->guard.low, high = l->guard.high;
    assert(low < high && (size_t)high * GRANULE_BYTES <= l->nbytes);
    *to = (struct stored_guard){.high = high, .low = low, .seal = seal_of(low, high)};
}

/* Without the lock, the three words may be of different moments: then the seal does not match. */
RACING bool guard_load(const struct stored_guard *from, size_t page, struct ledger *l)
{
    uint32_t low = NOW(from->low), high = NOW(from->high);
    bool whole = NOW(from->seal) == seal_of(low, high) && (size_t)high * GRANULE_BYTES <= l->nbytes;
    l->guard.page = (uint32_t)page;
    ledger_set_guard(l, whole ? low : 0, whole ? high : 0);
    return whole;
}

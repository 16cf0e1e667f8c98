/* SPDX-License-Identifier: MIT
 *
 * chunks.c - takes chunks from the ledger, and tells the free list of each step. Invariants:
 * chunks.h. Giving back is short enough to be there, too.
 */
#include "ledger/chunks.h"

#include "base/os.h"
#include "base/poison.h"

/* The free list holds the addresses of the region and the ledger, so `c` must not move
 * afterwards. */
void chunks_open(struct chunks *c, struct region region, MemNodePtr *head)
{
    assert((uintptr_t)region.base % GRANULE_BYTES == 0 && region.nbytes % GRANULE_BYTES == 0);
    assert(head == NULL || region.nbytes <= (size_t)1 << 31); /* a node has the size as an int */
    assert(head == NULL || c->clean == NULL); /* nodes would be written into clean memory */
    c->region = region;
    c->list = (struct freelist){&c->region, &c->ledger, head};
    unsigned char *end = region.base + region.nbytes;
    if (region.open_bytes != 0)
        ledger_open_with_gap(&c->ledger, end, region.nbytes, region.open_bytes / GRANULE_BYTES,
                             REGION_FIRST_BYTES);
    else
        ledger_open(&c->ledger, end, region.nbytes);
    c->unwritten = (struct unwritten){0, 0};
    c->low_most = c->high_least = 0;
    assert(region.open_bytes == 0 || head == NULL);
    if (head != NULL)
        freelist_mend_all(&c->list);
    if (c->clean != NULL)
        clean_open(c->clean, region.is_zero ? ledger_clean_end(&c->ledger) : 0);
}

/* The ledger's estimates of what is free. */
struct estimates {
    uint32_t ndirty, nforgotten;
};

static struct estimates estimates_of(const struct chunks *c)
{
    return (struct estimates){c->ledger.ndirty, c->ledger.nforgotten};
}

/* What was clean was not dirty either, and only that is more than an estimate: so what was dirty
 * `before` becomes less by the rest of what was free. Where records were it is not clean, whatever
 * the intervals say [CL1]. Not inlined, as objects are seldom handed out for the first time. */
__attribute__((noinline)) static void cut_clean(struct chunks *c, uint32_t start, uint32_t end,
                                                uint32_t free, struct estimates before)
{
    struct interval *taken = &c->clean->taken;
    if (free < end) {
        c->ledger.ndirty = before.ndirty;
        c->ledger.nforgotten = before.nforgotten;
        ledger_count_taken(&c->ledger, end - free - clean_count(c->clean, free, end));
    }
    clean_cut(c->clean, start, end);
    chunks_count_forgotten(c);
    taken->end = least(taken->end, ledger_clean_end(&c->ledger));
}

/* Notes that [start, + length) is handed out, of which what lies above `free` was free `before`. */
static inline void chunk_is_taken(struct chunks *c, uint32_t start, uint32_t length, uint32_t free,
                                  struct estimates before)
{
    unpoison(region_at(&c->region, start), (size_t)length * GRANULE_BYTES); /* PO3 */
    if (c->clean != NULL && !clean_cut_fast(c->clean, start, start + length))
        cut_clean(c, start, start + length, free, before);
}

/* --- opening memory [CK2] --------------------------------------------------------- */

/* The region need not begin with a page. These return where the last page begins that begins at or
 * below `offset`, or 0 if none does; and the first one at or above it. All are in bytes from the
 * region's begin. */
static size_t page_below(const struct chunks *c, size_t offset)
{
    size_t within = ((uintptr_t)c->region.base + offset) % os_page_bytes();
    return offset - smaller_of(offset, within);
}

static size_t page_above(const struct chunks *c, size_t offset)
{
    uintptr_t base = (uintptr_t)c->region.base, page = os_page_bytes();
    return ceil_div(base + offset, page) * page - base;
}

/* Returns how many bytes are opened next where nbytes are open: as many again, so that calls of the
 * system are few; but from 512 MiB on an eighth, since what is open counts against limits. */
static size_t step_after(size_t nbytes)
{
    const size_t small = (size_t)256 << 10, large = (size_t)64 << 20, part = 8;
    if (nbytes < large)
        return nbytes < small ? small : nbytes;
    return nbytes / part < large ? large : nbytes / part;
}

/* Returns whether the gap may begin at `low`, or end at `high`: not in the hole, if it has one. */
static bool is_outside_hole(const struct chunks *c, size_t low, size_t high)
{
    return c->high_least == 0 || (low <= (size_t)c->low_most * GRANULE_BYTES &&
                                  high >= (size_t)c->high_least * GRANULE_BYTES);
}

/* Makes the gap, if there is one, begin at `low` or above and end at `high` or below, in bytes, or
 * opens all of it if nothing is left in between. Returns false if the system refuses, or a hole is
 * in the way; what was opened before that stays open. */
static bool narrow_gap(struct chunks *c, size_t low, size_t high)
{
    struct ledger *l = &c->ledger;
    if (!is_outside_hole(c, low, high))
        return false;
    unsigned char *base = c->region.base;
    size_t from = (size_t)l->guard.low * GRANULE_BYTES, to = (size_t)l->guard.high * GRANULE_BYTES;
    if (l->guard.high == 0)
        return true;
    assert(l->guard.page == 0 && from < to);
    low = larger_of(low, from);
    high = smaller_of(high, to);
    if (low >= high) { /* nothing is left of it */
        if (!os_allow(base + from, to - from))
            return false;
        ledger_end_gap(l);
        return true;
    }
    if (low > from) {
        if (!os_allow(base + from, low - from))
            return false;
        ledger_set_guard(l, (uint32_t)(low / GRANULE_BYTES), l->guard.high);
    }
    if (high < to) {
        if (!os_allow(base + high, to - high))
            return false;
        ledger_set_guard(l, l->guard.low, (uint32_t)(high / GRANULE_BYTES));
    }
    return true;
}

/* After an end of the gap had to move from where it `was`, moves it on by a step for the calls to
 * come, unless the system refuses. Before the low end moves there is room for the records of what
 * will lie in the step, if it is used as densely as what lies below: else the step might take the
 * last of a limit, and no record could follow. */
static void open_ahead(struct chunks *c, const struct guard *was)
{
    const struct guard *gap = &c->ledger.guard;
    size_t page = os_page_bytes(), nbytes = c->region.nbytes, step = 0;
    size_t unwritten = (size_t)(c->unwritten.to - c->unwritten.from) * GRANULE_BYTES;
    size_t low = (size_t)was->low * GRANULE_BYTES;
    size_t room = nbytes - (size_t)was->high * GRANULE_BYTES;
    if (gap->high < was->high)
        room += step_after(room);
    if (gap->low > was->low)
        step = step_after(low - unwritten);
    size_t records = ledger_nbytes_most(&c->ledger);
    records += records * (step / page) / (low / page + 1);
    room = smaller_of(larger_of(room, records), nbytes);
    size_t high = page_above(c, nbytes - room);
    low = page_below(c, low + step);
    if (c->high_least != 0) { /* as far as the hole */
        low = smaller_of(low, (size_t)c->low_most * GRANULE_BYTES);
        high = larger_of(high, (size_t)c->high_least * GRANULE_BYTES);
    }
    if (narrow_gap(c, 0, high))
        (void)narrow_gap(c, low, nbytes);
}

/* The hole only ever becomes larger. A 32nd of what is left is for records: small objects are in
 * slots, and have none of their own. */
void chunks_cut_gap(struct chunks *c, size_t keep)
{
    enum { PART = 32 };
    const struct guard *gap = &c->ledger.guard;
    size_t from = (size_t)gap->low * GRANULE_BYTES, to = (size_t)gap->high * GRANULE_BYTES;
    size_t hole = (size_t)c->low_most * GRANULE_BYTES;
    size_t hole_end = (size_t)c->high_least * GRANULE_BYTES;
    assert(gap->page == 0);
    if (keep >= to - from - (hole_end - hole))
        return; /* without a gap, from and to are 0 */
    size_t low = page_above(c, from + keep - keep / PART), high = page_below(c, to - keep / PART);
    if (hole_end == 0) /* it has no hole yet: one without length is widened */
        hole = hole_end = low;
    low = smaller_of(low, hole);
    high = larger_of(high, hole_end);
    if (low == high)
        return;
    /* First, so that no lookup takes what the program maps there for the heap's. */
    __atomic_store_n(&c->low_most, (uint32_t)(low / GRANULE_BYTES), __ATOMIC_RELAXED);
    __atomic_store_n(&c->high_least, (uint32_t)(high / GRANULE_BYTES), __ATOMIC_RELAXED);
    os_unmap(c->region.base + low, hole - low);
    os_unmap(c->region.base + hole_end, high - hole_end);
}

/* Opens memory for chunks up to the granule `end` and for two records more. */
static __attribute__((noinline)) bool open_more(struct chunks *c, uint32_t end)
{
    const struct guard was = c->ledger.guard;
    if (!narrow_gap(c, page_above(c, (size_t)end * GRANULE_BYTES),
                    page_below(c, c->region.nbytes - ledger_nbytes_most(&c->ledger))))
        return false;
    open_ahead(c, &was);
    return true;
}

/* Makes sure that a chunk may end at the granule `end`. */
static inline bool make_open(struct chunks *c, uint64_t end)
{
    return ledger_is_open(&c->ledger, end) || open_more(c, (uint32_t)end);
}

/* --- taking ----------------------------------------------------------------------- */

/* Looks at the nodes around the free chunk at `start`, and returns whether its own is right.
 * Without a list none can be wrong. */
static bool look_at_nodes(const struct chunks *c, uint32_t start, struct freelist_spot *spot)
{
    if (c->list.head == NULL)
        return true;
    freelist_look(&c->list, start, start, spot);
    return spot->here_right;
}

/* Takes the low end of a free chunk whose nodes were looked at. Returns its length, as
 * ledger_take does. */
static uint32_t take_and_thread(struct chunks *c, const struct chunk *from, uint32_t length,
                                uint32_t slack, const struct freelist_spot *spot)
{
    assert(length > 0 && length <= from->length);
    length = ledger_take(&c->ledger, from, length, slack);
    if (c->list.head != NULL && length > 0)
        freelist_taken(&c->list, spot, length);
    return length;
}

/* Makes sure that [skip, skip + length) of the chosen chunk can be taken: the guard is not in the
 * way [LG6], and memory is open [CK2]. If the system lets no memory be opened, chooses a hole that
 * needs none instead: one that the first choice passed over since it is not the best fit, or begins
 * well only by chance. Returns false if there is none. */
static __attribute__((noinline)) bool reach_slow(struct chunks *c, uint32_t length, uint32_t align,
                                                 uint32_t phase, struct chunk *from, uint32_t *skip)
{
    struct ledger *l = &c->ledger;
    if (l->guard.page != 0)
        return ledger_check_guard(l, from, *skip, length);
    if (open_more(c, from->start + *skip + length))
        return true;
    return make_open(c, 0) && /* room for records */
           ledger_choose_hole(l, length, align, phase, from, skip);
}

/* CK3: the holes are of the length that fits best and longer. */
static __attribute__((noinline)) void prefer_dirty(const struct chunks *c, uint32_t length,
                                                   struct chunk *from)
{
    enum { NLOOKED = 16 };
    struct chunk hole = *from;
    uint32_t nclean = clean_count(c->clean, hole.start, hole.start + length);
    for (int i = 0; i < NLOOKED && nclean > 0 && ledger_next_longer(&c->ledger, &hole); i++) {
        uint32_t n = clean_count(c->clean, hole.start, hole.start + length);
        if (n < nclean)
            *from = hole;
        nclean = least(n, nclean);
    }
}

/* Refuses in this order: no space, the guard in the way, memory that cannot be opened, the node
 * overwritten. Only then does anything change. */
enum chunks_result chunks_take(struct chunks *c, uint32_t length, uint32_t slack, enum fit fit,
                               uint32_t *start)
{
    struct chunk from;
    struct freelist_spot spot;
    uint32_t skip = 0;
    struct estimates before = estimates_of(c);
    assert(length > 0);
    if (!ledger_choose(&c->ledger, length, fit, &from))
        return CHUNKS_NONE;
    if (fit == FIT_ANY && c->clean != NULL &&
        !clean_is_outside(c->clean, from.start, from.start + length))
        prefer_dirty(c, length, &from);
    if (!ledger_is_open(&c->ledger, (uint64_t)from.start + length) &&
        !reach_slow(c, length, 1, 0, &from, &skip))
        return CHUNKS_NONE;
    if (!look_at_nodes(c, from.start, &spot)) {
        freelist_mend(&c->list, &spot);
        return CHUNKS_LIST_DAMAGED;
    }
    if (take_and_thread(c, &from, length, slack, &spot) == 0)
        return CHUNKS_DAMAGED;
    *start = from.start;
    chunk_is_taken(c, from.start, length, from.start, before);
    return CHUNKS_OK;
}

/* Takes an aligned chunk where there is a list, in three steps after each of which the list is
 * right:
 *
 *     [------- free -------] => [skipped][--- free ---] => [skipped][this][free]
 *                            => [ free  ][this][free]
 *
 * Returns false, and has changed nothing, if the node of the free chunk is wrong, or if the ledger
 * is damaged. The choice has made sure that there is room for the records of all three. */
static bool take_behind(struct chunks *c, const struct chunk *from, uint32_t skip, uint32_t length,
                        uint32_t slack)
{
    struct freelist_spot spot;
    assert(c->list.head != NULL && (uint64_t)skip + length <= from->length);
    struct chunk rest = {.start = from->start + skip, .length = from->length - skip};
    if (!look_at_nodes(c, from->start, &spot))
        return false;
    if (skip == 0)
        return take_and_thread(c, from, length, slack, &spot) > 0;
    if (take_and_thread(c, from, skip, 0, &spot) != skip)
        return false;
    look_at_nodes(c, rest.start, &spot);
    bool taken = take_and_thread(c, &rest, length, slack, &spot) > 0;
    struct ledger_place skipped;
    if (ledger_find_place(&c->ledger, from->start, &skipped))
        chunks_give_back(c, &skipped);
    return taken;
}

/* Granules are counted from the region's base, which need not be a multiple of `align`: the phase
 * is how many granules it lies above one. */
static uint32_t phase_of(const struct chunks *c, uint32_t align)
{
    return (uint32_t)((uintptr_t)c->region.base / GRANULE_BYTES & (align - 1));
}

bool chunks_have_room(const struct chunks *c, uint32_t length, uint32_t align)
{
    uint32_t skip;
    struct chunk from;
    return ledger_choose_aligned(&c->ledger, length, align, phase_of(c, align), &from, &skip);
}

enum chunks_result chunks_take_aligned(struct chunks *c, uint32_t length, uint32_t align,
                                       uint32_t slack, uint32_t *start)
{
    assert(length > 0 && is_power_of_two(align));
    uint32_t phase = phase_of(c, align), skip;
    struct estimates before = estimates_of(c);
    struct chunk from;
    if (!ledger_choose_aligned(&c->ledger, length, align, phase, &from, &skip))
        return CHUNKS_NONE;
    if (!ledger_is_open(&c->ledger, (uint64_t)from.start + skip + length) &&
        !reach_slow(c, length, align, phase, &from, &skip))
        return CHUNKS_NONE;
    *start = from.start + skip;
    assert(((uintptr_t)c->region.base / GRANULE_BYTES + *start) % align == 0);
    if (c->list.head != NULL)
        return take_behind(c, &from, skip, length, slack) ? CHUNKS_OK : CHUNKS_NONE;
    if (!ledger_take_aligned(&c->ledger, &from, skip, length, slack))
        return CHUNKS_DAMAGED;
    chunk_is_taken(c, *start, length, *start, before);
    return CHUNKS_OK;
}

/* What the object grows by is handed out, too. It comes from behind the object, or was its slack,
 * and must be open in either case; but memory is opened only for what can be had. */
bool chunks_resize(struct chunks *c, const struct chunk *old, uint32_t length, uint32_t slack)
{
    assert(c->list.head == NULL);
    uint32_t start = old->start;
    struct estimates before = estimates_of(c);
    bool guarded = c->ledger.guard.page != 0; /* then ledger_resize says itself whether it may */
    if (!ledger_may_resize(&c->ledger, old, length) ||
        (!guarded && !make_open(c, (uint64_t)start + length)) ||
        !ledger_resize(&c->ledger, start, length, slack))
        return false;
    chunk_is_taken(c, start, length, start + old->length, before);
    return true;
}

/* --- tables ------------------------------------------------------------------------- */

/* Opens [begin, begin + length), which lies in the tail, as far as the gap begins below its end;
 * what is in the gap was never used:
 *
 *     [ open ][ can be written to | can only be read | page ]|.... gap ....
 *             begin               unwritten.from         .to   low
 *
 * The last page can be written to, since the next chunk begins in it. Returns false if that would
 * not do, or if the system refuses. */
static bool open_table(struct chunks *c, uint32_t begin, uint32_t length, uint32_t written)
{
    struct ledger *l = &c->ledger;
    size_t end = ((size_t)begin + length) * GRANULE_BYTES;
    size_t to = page_below(c, end), last = page_above(c, end);
    if (!make_open(c, (uint64_t)begin + written) || l->guard.high == 0)
        return false;
    size_t from = (size_t)l->guard.low * GRANULE_BYTES;
    if (from >= to || last >= (size_t)l->guard.high * GRANULE_BYTES)
        return false;
    if ((to < last && !os_allow(c->region.base + to, last - to)) ||
        !os_allow_reads(c->region.base + from, to - from))
        return false;
    ledger_set_guard(l, (uint32_t)(last / GRANULE_BYTES), l->guard.high);
    c->unwritten =
        (struct unwritten){(uint32_t)(from / GRANULE_BYTES), (uint32_t)(to / GRANULE_BYTES)};
    return true;
}

/* What open_table opened is where ledger_choose_aligned finds the chunk again, so it is taken
 * there. If open_table did nothing, all of the chunk is opened as for any other. */
enum chunks_result chunks_take_table(struct chunks *c, uint32_t length, uint32_t align,
                                     uint32_t written, uint32_t *start)
{
    const struct ledger *l = &c->ledger;
    struct chunk from;
    uint32_t skip;
    assert(!chunks_have_unwritten(c) && l->guard.page == 0);
    if (l->guard.high != 0 &&
        ledger_choose_aligned(l, length, align, phase_of(c, align), &from, &skip))
        (void)open_table(c, from.start + skip, length, written);
    enum chunks_result result = chunks_take_aligned(c, length, align, LEDGER_RESERVED, start);
    assert(result == CHUNKS_OK || !chunks_have_unwritten(c));
    return result;
}

bool chunks_write_table(struct chunks *c, uint32_t end)
{
    struct unwritten *r = &c->unwritten;
    const size_t step = (size_t)64 << 10;
    size_t from = (size_t)r->from * GRANULE_BYTES, to = (size_t)r->to * GRANULE_BYTES;
    if (r->from == r->to || end <= r->from) /* all of it, or what is needed, is written to */
        return true;
    size_t need = page_above(c, (size_t)end * GRANULE_BYTES), want = from + step;
    need = smaller_of(need, to);
    want = smaller_of(larger_of(want, need), to);
    bool opened = os_allow(c->region.base + from, want - from);
    if (!opened && want > need) {
        want = need;
        opened = os_allow(c->region.base + from, want - from);
    }
    if (opened)
        r->from = (uint32_t)(want / GRANULE_BYTES);
    return opened;
}

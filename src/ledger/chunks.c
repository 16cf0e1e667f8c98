/* SPDX-License-Identifier: MIT
 *
 * chunks.c - takes chunks from the ledger, and tells the free list of each step. Invariants:
 * chunks.h. Giving back is short enough to be there, too.
 */
#include "ledger/chunks.h"

/* The free list holds the addresses of the region and the ledger, so `c` must not move
 * afterwards. */
void chunks_open(struct chunks *c, struct region region, MemNodePtr *head)
{
    assert((uintptr_t)region.base % GRANULE_BYTES == 0 && region.nbytes % GRANULE_BYTES == 0);
    assert(head == NULL || region.nbytes <= (size_t)1 << 31); /* a node has the size as an int */
    assert(head == NULL || c->clean == NULL); /* nodes would be written into clean memory */
    c->region = region;
    c->list = (struct freelist){&c->region, &c->ledger, head};
    ledger_open(&c->ledger, region.base + region.nbytes, region.nbytes);
    if (head != NULL)
        freelist_mend_all(&c->list);
    if (c->clean != NULL)
        clean_open(c->clean, region.is_zero ? ledger_clean_end(&c->ledger) : 0);
}

/* Where records were it is not clean, whatever the intervals say [CL1]. Not inlined, as objects are
 * seldom handed out for the first time. */
__attribute__((noinline)) static void cut_clean(struct chunks *c, uint32_t start, uint32_t end)
{
    struct interval *taken = &c->clean->taken;
    clean_cut(c->clean, start, end);
    taken->end = least(taken->end, ledger_clean_end(&c->ledger));
}

/* Notes that [start, + length) is handed out. */
static inline void chunk_is_taken(struct chunks *c, uint32_t start, uint32_t length)
{
    if (c->clean != NULL && !clean_cut_fast(c->clean, start, start + length))
        cut_clean(c, start, start + length);
}

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

/* Refuses in this order: no space, the guard in the way, the node overwritten. Only then does
 * anything change. */
enum chunks_result chunks_take(struct chunks *c, uint32_t length, uint32_t slack, enum fit fit,
                               uint32_t *start)
{
    struct chunk from;
    struct freelist_spot spot;
    assert(length > 0);
    if (!ledger_choose(&c->ledger, length, fit, &from))
        return CHUNKS_NONE;
    if (c->ledger.guard.page != 0 && !ledger_check_guard(&c->ledger, &from, 0, length))
        return CHUNKS_NONE;
    if (!look_at_nodes(c, from.start, &spot)) {
        freelist_mend(&c->list, &spot);
        return CHUNKS_LIST_DAMAGED;
    }
    if (take_and_thread(c, &from, length, slack, &spot) == 0)
        return CHUNKS_DAMAGED;
    *start = from.start;
    chunk_is_taken(c, from.start, length);
    return CHUNKS_OK;
}

/* Takes an aligned chunk where there is a list, in three steps after each of which the list is
 * right:
 *
 *     [------- free -------] => [skipped][--- free ---] => [skipped][this][free]
 *                            => [ free  ][this][free]
 *
 * Returns false, and has changed nothing, if the node of the free chunk is wrong, or if the
 * ledger has no room for a record of the rest. */
static bool take_behind(struct chunks *c, const struct chunk *from, uint32_t skip, uint32_t length,
                        uint32_t slack)
{
    struct freelist_spot spot;
    assert(c->list.head != NULL && (uint64_t)skip + length <= from->length);
    struct chunk rest = {.start = from->start + skip, .length = from->length - skip};
    if (!look_at_nodes(c, from->start, &spot))
        return false;
    if (skip > 0 && take_and_thread(c, from, skip, 0, &spot) == skip)
        look_at_nodes(c, rest.start, &spot);
    else if (skip > 0)
        rest.length = 0; /* the chunk was taken whole: there was no room for another record */
    if (rest.length > 0)
        take_and_thread(c, &rest, length, slack, &spot);
    struct ledger_place skipped;
    if (skip > 0 && ledger_find_place(&c->ledger, from->start, &skipped))
        chunks_give_back(c, &skipped);
    return rest.length > 0;
}

/* Granules are counted from the region's base, which need not be a multiple of `align`: `phase`
 * is how many granules it lies above one. */
enum chunks_result chunks_take_aligned(struct chunks *c, uint32_t length, uint32_t align,
                                       uint32_t slack, uint32_t *start)
{
    assert(length > 0 && is_power_of_two(align));
    uint32_t phase = (uint32_t)((uintptr_t)c->region.base / GRANULE_BYTES & (align - 1)), skip;
    struct chunk from;
    if (!ledger_choose_aligned(&c->ledger, length, align, phase, &from, &skip))
        return CHUNKS_NONE;
    if (c->ledger.guard.page != 0 && !ledger_check_guard(&c->ledger, &from, skip, length))
        return CHUNKS_NONE;
    *start = from.start + skip;
    assert(((uintptr_t)c->region.base / GRANULE_BYTES + *start) % align == 0);
    if (c->list.head != NULL)
        return take_behind(c, &from, skip, length, slack) ? CHUNKS_OK : CHUNKS_NONE;
    if (!ledger_take_aligned(&c->ledger, &from, skip, length, slack))
        return CHUNKS_DAMAGED;
    chunk_is_taken(c, *start, length);
    return CHUNKS_OK;
}

/* What the object grows by is handed out, too. */
bool chunks_resize(struct chunks *c, uint32_t start, uint32_t length, uint32_t slack)
{
    assert(c->list.head == NULL);
    if (!ledger_resize(&c->ledger, start, length, slack))
        return false;
    chunk_is_taken(c, start, length);
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "freelist.h"

static_assert(sizeof(struct __list_t) <= GRANULE_BYTES, "the smallest chunk has a node");

static MemNodePtr node_of(const struct freelist *f, const struct chunk *c)
{
    return region_at(f->region, c->start);
}

/* F1 for one node. All its bytes are compared, those between the fields too. */
static bool settle_node(const struct freelist *f, const struct chunk *c, MemNodePtr next)
{
    struct __list_t want;
    memset(&want, 0, sizeof want);
    want.size = (int)(c->length * GRANULE_BYTES);
    want.type = true;
    want.next = next;
    if (memcmp(node_of(f, c), &want, sizeof want) == 0)
        return true;
    memcpy(node_of(f, c), &want, sizeof want);
    return false;
}

static bool settle_head(const struct freelist *f, MemNodePtr first)
{
    bool was = *f->head == first;
    *f->head = first;
    return was;
}

/* The free chunk that begins at `granule` or next above, as a place in the list. */
static MemNodePtr next_from(const struct freelist *f, uint32_t granule, struct chunk *c)
{
    return ledger_free_from(f->ledger, granule, c) ? node_of(f, c) : NULL;
}

static bool settle_at(const struct freelist *f, uint32_t granule)
{
    struct chunk before, here, after;
    MemNodePtr first = next_from(f, granule, &here);
    bool was = ledger_free_before(f->ledger, granule, &before) ? settle_node(f, &before, first)
                                                               : settle_head(f, first);
    if (first != NULL)
        was &= settle_node(f, &here, next_from(f, here.start + here.length, &after));
    return was;
}

bool freelist_settle(const struct freelist *f, uint32_t granule)
{
    bool was = settle_at(f, granule);
    return settle_at(f, f->ledger->b.top) && was; /* the tail begins there, and its length varies */
}

size_t freelist_settle_all(const struct freelist *f)
{
    struct chunk c, next;
    size_t nwrong = 0;
    MemNodePtr node = next_from(f, 0, &c);
    nwrong += !settle_head(f, node);
    for (; node != NULL; c = next) {
        node = next_from(f, c.start + c.length, &next);
        nwrong += !settle_node(f, &c, node);
    }
    return nwrong;
}

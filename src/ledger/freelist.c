/* SPDX-License-Identifier: MIT
 *
 * freelist.c - rewrites the nodes in free chunks whenever the ledger changes, and finds those
 * that were overwritten. Invariants: freelist.h.
 *
 * Each change has two parts: before it, freelist_look compares the nodes that will be rewritten
 * with what they have to be; after it, they are written as the ledger now says. */
#include "ledger/freelist.h"

static_assert(sizeof(struct __list_t) <= GRANULE_BYTES, "the smallest chunk has a node");

/* Returns where the node of a free chunk lies; NULL if there is no such chunk. */
static MemNodePtr list_node(const struct freelist *f, const struct chunk *c)
{
    return c->length > 0 ? region_at(f->region, c->start) : NULL;
}

/* Makes the node that a chunk has to have: FL1 if `right`, else with the mark of FL2. The bytes
 * between the fields are zero and are compared, too; so a node is passed by address, since a
 * copy of the struct may leave them out. */
static void make_node(struct __list_t *node, const struct chunk *c, MemNodePtr next, bool right)
{
    memset(node, 0, sizeof *node);
    node->size = (int)(c->length * GRANULE_BYTES);
    node->type = right;
    node->next = next;
}

/* Returns whether the node of a chunk is what it has to be, without a mark. Where there is no
 * chunk, that counts as right. */
static bool node_is_right(const struct freelist *f, const struct chunk *c, MemNodePtr next)
{
    struct __list_t node;
    make_node(&node, c, next, true);
    return c->length == 0 || memcmp(list_node(f, c), &node, sizeof node) == 0;
}

/* Writes the node of a chunk, if there is such a chunk. */
static void write_node(const struct freelist *f, const struct chunk *c, MemNodePtr next, bool right)
{
    struct __list_t node;
    make_node(&node, c, next, right);
    if (c->length > 0)
        memcpy(list_node(f, c), &node, sizeof node);
}

/* Writes what points to the first free chunk at or above a place: the node of the free chunk before
 * it, or the head of the list. */
static void write_link(const struct freelist *f, const struct chunk *before, MemNodePtr next,
                       bool right)
{
    assert(next == NULL || (uintptr_t)next % GRANULE_BYTES == 0);
    if (before->length > 0)
        write_node(f, before, next, right);
    else
        *f->head = next;
}

/* The nodes that a change may rewrite: that of the chunk itself, if it is free or joins a free
 * neighbour; the one before, whose `next` changes; and that of the tail, whose size changes with
 * each record. */
void freelist_look(const struct freelist *f, uint32_t granule, uint32_t end,
                   struct freelist_spot *spot)
{
    assert(f->head != NULL && end >= granule);
    struct around *a = &spot->around;
    struct chunk tail = ledger_tail(f->ledger);
    ledger_around(f->ledger, granule, a);
    spot->granule = granule;
    spot->had_tail = tail.length > 0;
    spot->before_right = node_is_right(f, &a->before, list_node(f, &a->here));
    spot->here_right = a->here.start > end /* neither cut nor joined */
                       || node_is_right(f, &a->here, list_node(f, &a->after));
    spot->tail_right = node_is_right(f, &tail, NULL);
}

/* Each record more makes the tail shorter, and each one less makes it longer, so it may also go or
 * come. Writes its node, which begins where it did, and the node that points to it if it has
 * gone or come. */
static void thread_tail(const struct freelist *f, const struct freelist_spot *spot)
{
    struct chunk tail = ledger_tail(f->ledger);
    struct around a;
    write_node(f, &tail, NULL, spot->tail_right);
    if (spot->had_tail == (tail.length > 0))
        return;
    MemNodePtr now = list_node(f, &tail);
    MemNodePtr was = now == NULL ? region_at(f->region, tail.start) : NULL;
    ledger_around(f->ledger, tail.start, &a);
    bool right = node_is_right(f, &a.before, was);
    if (now == NULL)
        right &= spot->tail_right; /* a mark that goes with its chunk goes to the one before */
    write_link(f, &a.before, now, right);
}

void freelist_taken(const struct freelist *f, const struct freelist_spot *spot, uint32_t length)
{
    assert(f->head != NULL && length > 0);
    assert(length <= spot->around.here.length); /* it was taken from this chunk */
    /* [before] .. [----- here -----] .. [after] => [before] .. [taken][rest] .. [after] */
    const struct around *a = &spot->around;
    struct chunk tail = ledger_tail(f->ledger);
    struct chunk rest = {.start = a->here.start + length, .length = a->here.length - length};
    if (rest.start == tail.start)
        rest = tail;
    MemNodePtr after = list_node(f, &a->after);
    write_link(f, &a->before, rest.length > 0 ? list_node(f, &rest) : after, spot->before_right);
    write_node(f, &rest, after, true);
    if (rest.start != tail.start)
        thread_tail(f, spot);
}

void freelist_given(const struct freelist *f, const struct freelist_spot *spot, uint32_t end)
{
    assert(f->head != NULL && end > spot->granule); /* a chunk has a granule */
    /* [before] .. [this] .. [here] .. [after]: `this` joins those of its neighbours that it
     * touches. The tail is such a neighbour too. */
    const struct around *a = &spot->around;
    struct chunk tail = ledger_tail(f->ledger), this = {.start = spot->granule};
    bool joins_before = a->before.length > 0 && a->before.start + a->before.length == this.start;
    bool joins_here = a->here.length > 0 && a->here.start == end;
    if (joins_before)
        this.start = a->before.start;
    this.length = (joins_here ? a->here.start + a->here.length : end) - this.start;
    if (this.start == tail.start)
        this = tail;
    if (!joins_before)
        write_link(f, &a->before, list_node(f, &this), spot->before_right);
    write_node(f, &this, list_node(f, joins_here ? &a->after : &a->here),
               (!joins_before || spot->before_right) && (!joins_here || spot->here_right));
    if (this.start != tail.start)
        thread_tail(f, spot);
}

void freelist_mend(const struct freelist *f, const struct freelist_spot *spot)
{
    assert(spot->around.here.length > 0); /* there is a node to mend */
    const struct around *a = &spot->around;
    write_node(f, &a->here, list_node(f, &a->after), true);
}

/* From the first free chunk to the tail, as the ledger has them. */
size_t freelist_mend_all(const struct freelist *f)
{
    assert(f->head != NULL);
    struct around a;
    size_t nwrong = 0;
    ledger_around(f->ledger, 0, &a);
    nwrong += *f->head != list_node(f, &a.here);
    *f->head = list_node(f, &a.here);
    while (a.here.length > 0) {
        nwrong += !node_is_right(f, &a.here, list_node(f, &a.after));
        write_node(f, &a.here, list_node(f, &a.after), true);
        ledger_around(f->ledger, a.here.start + a.here.length, &a);
    }
    return nwrong;
}

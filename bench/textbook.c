/* SPDX-License-Identifier: MIT
 *
 * textbook.c - an allocator on one list of all chunks in address order.
 *
 *     chunk   [ node 16 | payload: a multiple of 16, at least 16 ]
 *
 *     T1  The nodes stand in address order, the first at the start of the region.
 *     T2  A chunk reaches to the next node, the last chunk to the end of the region.
 *     T3  Two holes are never neighbours.
 *     T4  The size of a hole is all its payload; that of an object is what was asked for.
 *
 * It is as fast as such a list allows: each call walks the list once, reads at most one
 * cache line of each node, and stops when the result is known.
 */
#include "textbook.h"

#include <assert.h>
#include <limits.h>
#include <stdint.h>

#include "mem.h"

typedef struct textbook_node node;

static_assert(sizeof(node) == TEXTBOOK_GRANULE, "payload is aligned because a node is a granule");

enum { NODE_BYTES = (int)sizeof(node), LEAST_PAYLOAD = TEXTBOOK_GRANULE };

/* Rounds up to a multiple of 16, for 0 < size <= INT_MAX - 15. */
static int whole_granules(int size)
{
    return (size + TEXTBOOK_GRANULE - 1) / TEXTBOOK_GRANULE * TEXTBOOK_GRANULE;
}

static char *payload(node *n)
{
    return (char *)(n + 1);
}

/* Returns the payload of the chunk, which ends where the next chunk begins: T2. */
static int capacity(const struct textbook *t, const node *n)
{
    const char *end = n->next != NULL ? (const char *)n->next : t->end;
    return (int)(end - (const char *)(n + 1));
}

void textbook_init(struct textbook *t, void *region, size_t nbytes)
{
    size_t whole = nbytes / TEXTBOOK_GRANULE * TEXTBOOK_GRANULE;
    assert(whole >= (size_t)(NODE_BYTES + LEAST_PAYLOAD) && whole <= INT_MAX);
    assert((uintptr_t)region % TEXTBOOK_GRANULE == 0);
    t->first = region;
    t->end = (char *)region + whole;
    *t->first = (node){.size = (int)whole - NODE_BYTES, .type = true, .next = NULL};
}

/* ------------------------------------------------------------ the three fits */

static node *first_fit(const struct textbook *t, int need)
{
    for (node *n = t->first; n != NULL; n = n->next) {
        if (n->type && n->size >= need)
            return n;
    }
    return NULL;
}

static node *best_fit(const struct textbook *t, int need)
{
    node *best = NULL;
    for (node *n = t->first; n != NULL; n = n->next) {
        if (!n->type || n->size < need)
            continue;
        if (n->size == need)
            return n; /* none is smaller, and those of equal size lie higher */
        if (best == NULL || n->size < best->size)
            best = n;
    }
    return best;
}

static node *worst_fit(const struct textbook *t, int need)
{
    node *worst = NULL;
    int most = need - 1; /* the size of the largest hole so far */
    for (node *n = t->first; n != NULL; n = n->next) {
        if (n->type && n->size > most) {
            worst = n;
            most = n->size;
        }
    }
    return worst;
}

static node *find_hole(const struct textbook *t, int need, int style)
{
    switch (style) {
    case FIRSTFIT:
        return first_fit(t, need);
    case BESTFIT:
        return best_fit(t, need);
    case WORSTFIT:
        return worst_fit(t, need);
    default:
        return NULL;
    }
}

/* [node| ------ hole ------ ]  =>  [node|object][node| hole ]
 * A rest too small for a node and a granule stays with the object. */
static void cut(node *n, int need)
{
    int left = n->size - need;
    if (left < NODE_BYTES + LEAST_PAYLOAD)
        return;
    node *rest = (node *)(payload(n) + need);
    *rest = (node){.size = left - NODE_BYTES, .type = true, .next = n->next};
    n->next = rest;
}

void *textbook_alloc(struct textbook *t, int size, int style)
{
    if (size <= 0 || size > INT_MAX - TEXTBOOK_GRANULE)
        return NULL;
    int need = whole_granules(size);
    node *n = find_hole(t, need, style);
    if (n == NULL)
        return NULL;
    cut(n, need);
    n->type = false;
    n->size = size;
    return payload(n);
}

/* ------------------------------------------- which object an address lies in */

/* Returns the last node at or below ptr, and in *before the node in front of it, which a
 * singly linked list cannot find later. Returns NULL if ptr is not in the region. */
static node *walk_to(const struct textbook *t, const void *ptr, node **before)
{
    uintptr_t address = (uintptr_t)ptr;
    if (address < (uintptr_t)t->first || address >= (uintptr_t)t->end)
        return NULL;
    node *previous = NULL;
    node *n = t->first;
    for (node *next = n->next; next != NULL && (uintptr_t)next <= address; next = n->next) {
        previous = n;
        n = next;
    }
    *before = previous;
    return n;
}

static bool is_inside(const node *n, const void *ptr)
{
    /* An address in the node itself wraps around to a huge number, so one comparison is enough. */
    return !n->type && (uintptr_t)ptr - (uintptr_t)(n + 1) < (uintptr_t)n->size;
}

int textbook_free(struct textbook *t, const void *ptr)
{
    node *before = NULL;
    node *n = walk_to(t, ptr, &before);
    if (n == NULL || !is_inside(n, ptr))
        return -1;
    /* [hole][this][hole]  =>  [------ hole ------] */
    n->type = true;
    if (n->next != NULL && n->next->type)
        n->next = n->next->next;
    if (before != NULL && before->type) {
        before->next = n->next;
        n = before;
    }
    n->size = capacity(t, n);
    return 0;
}

int textbook_size_of(const struct textbook *t, const void *ptr)
{
    node *before = NULL;
    node *n = walk_to(t, ptr, &before);
    return n != NULL && is_inside(n, ptr) ? n->size : -1;
}

/* ----------------------------------------------------------------- whole heaps */

int textbook_count_holes(const struct textbook *t, int *last_bytes)
{
    int nholes = 0;
    *last_bytes = 0;
    for (const node *n = t->first; n != NULL; n = n->next) {
        if (n->type) {
            nholes++;
            *last_bytes = n->size;
        }
    }
    return nholes;
}

void textbook_lay_out(struct textbook *t, const struct textbook_piece *pieces, int n,
                      void **objects)
{
    node *at = t->first;
    assert(at->type && at->next == NULL && n > 0 && pieces[n - 1].live);
    for (int i = 0; i < n; i++) {
        int need = whole_granules(pieces[i].size);
        cut(at, need);
        assert(at->next != NULL); /* the region has room, so a rest is left */
        at->type = !pieces[i].live;
        at->size = pieces[i].live ? pieces[i].size : need;
        assert(pieces[i].live || pieces[i + 1].live);
        if (pieces[i].live)
            *objects++ = payload(at);
        at = at->next;
    }
}

bool textbook_is_valid(const struct textbook *t)
{
    bool was_free = false;
    for (const node *n = t->first; n != NULL; n = n->next) {
        if (n->next != NULL && n->next <= n)
            return false; /* T1 */
        int room = capacity(t, n);
        if (room < LEAST_PAYLOAD || room % TEXTBOOK_GRANULE != 0)
            return false; /* T2 */
        if (n->type && was_free)
            return false; /* T3 */
        if (n->type ? n->size != room : n->size <= 0 || n->size > room)
            return false; /* T4 */
        was_free = n->type;
    }
    return true;
}

/* SPDX-License-Identifier: MIT
 *
 * census.c - counts live objects by their size. See census.h.
 */
#include "census.h"

#include <err.h>
#include <stdlib.h>

#include "source.h"

#include "command.h"

/* The table of sizes is a hash table whose room is a power of two, until it is sorted; `largest` is
 * sorted always, the largest first. */

static struct size *place_of(const struct census *c, size_t size)
{
    size_t i = (size_t)(size * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (c->room - 1);
    while (c->sizes[i].count != 0 && c->sizes[i].size != size)
        i = (i + 1) & (c->room - 1);
    return &c->sizes[i];
}

static void grow(struct census *c)
{
    struct census old = *c;
    c->room = old.room == 0 ? 1024 : 2 * old.room;
    c->sizes = calloc(c->room, sizeof *c->sizes);
    if (c->sizes == NULL)
        err(UNKNOWN, "no memory");
    for (size_t i = 0; i < old.room; i++)
        if (old.sizes[i].count != 0)
            *place_of(c, old.sizes[i].size) = old.sizes[i];
    free(old.sizes);
}

static void note_large(struct census *c, const struct target_piece *p)
{
    if (c->top == 0 || (c->nlargest == c->top && c->largest[c->nlargest - 1].size >= p->size))
        return;
    if (c->nlargest < c->top)
        c->largest = grown(c->largest, c->nlargest++, sizeof *c->largest);
    size_t i = c->nlargest - 1;
    for (; i > 0 && c->largest[i - 1].size < p->size; i--)
        c->largest[i] = c->largest[i - 1];
    c->largest[i] = (struct object_at){p->start, p->size};
}

static bool count(const struct target_piece *p, void *context)
{
    struct census *c = context;
    progress("counting", p->start - c->view->base, c->view->nbytes);
    if (p->kind != PIECE_OBJECT)
        return true;
    if (2 * c->nsizes >= c->room)
        grow(c);
    struct size *s = place_of(c, p->size);
    c->nsizes += s->count == 0;
    s->size = p->size;
    s->count++;
    c->count++;
    c->bytes += p->size;
    c->slack += p->nbytes - p->size;
    note_large(c, p);
    return true;
}

/* By bytes, and of two with equally many the smaller size first. */
static int compare(const void *a, const void *b)
{
    const struct size *x = a, *y = b;
    uint64_t m = x->size * x->count, n = y->size * y->count;
    if (m != n)
        return m > n ? -1 : 1;
    return x->size < y->size ? -1 : x->size > y->size;
}

/* Moves the sizes that there are to the front, and sorts them. */
static void sort(struct census *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->room; i++)
        if (c->sizes[i].count != 0)
            c->sizes[n++] = c->sizes[i];
    if (n > 0)
        qsort(c->sizes, n, sizeof *c->sizes, compare);
}

bool census_take(struct census *c, const struct look *l)
{
    bool is_whole = true;
    for (size_t i = 0; i < l->heaps.n; i++) {
        c->view = &l->heaps.views[i];
        is_whole &= view_walk(c->view, count, c);
    }
    sort(c);
    progress_end();
    return is_whole;
}

void census_free(struct census *c)
{
    free(c->sizes);
    free(c->largest);
}

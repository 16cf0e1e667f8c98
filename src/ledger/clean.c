/* SPDX-License-Identifier: MIT
 *
 * clean.c - the intervals of a region that are known to be zero: adds one, and cuts out what is
 * handed out. Invariants: clean.h.
 */
#include "ledger/clean.h"

#include <string.h>

static uint32_t interval_length(const struct interval *i)
{
    return i->end > i->start ? i->end - i->start : 0;
}

void clean_open(struct clean *c, uint32_t end)
{
    *c = (struct clean){.n = end > 0, .interval = {{0, end}}};
}

/* Returns the index of the first interval that ends above `granule`; c->n if none does. */
static uint32_t first_above(const struct clean *c, uint32_t granule)
{
    uint32_t low = 0, high = c->n;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (c->interval[middle].end > granule)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Forgets the shortest interval [CL3]. */
static void forget_shortest(struct clean *c)
{
    uint32_t shortest = 0;
    for (uint32_t i = 1; i < c->n; i++)
        if (interval_length(&c->interval[i]) < interval_length(&c->interval[shortest]))
            shortest = i;
    c->nforgotten += interval_length(&c->interval[shortest]);
    c->n--;
    memmove(&c->interval[shortest], &c->interval[shortest + 1],
            (c->n - shortest) * sizeof c->interval[0]);
}

/* Puts `nnew` intervals, two at most, in the place of those from `first` to `last` - 1.
 *
 *     [ ... ][first] ... [last - 1][last][ ... ]  =>  [ ... ][new][new][last][ ... ] */
static void replace(struct clean *c, uint32_t first, uint32_t last, const struct interval *new,
                    uint32_t nnew)
{
    uint32_t n = c->n - (last - first) + nnew;
    assert(first <= last && last <= c->n && n <= CLEAN_MAX + 1);
    memmove(&c->interval[first + nnew], &c->interval[last], (c->n - last) * sizeof c->interval[0]);
    memcpy(&c->interval[first], new, nnew * sizeof *new);
    c->n = n;
    if (n > CLEAN_MAX)
        forget_shortest(c);
}

/* [a]    [b]  [c]  with what goes back from inside a to inside b  =>  [--- a ---]  [c] */
void clean_add(struct clean *c, uint32_t start, uint32_t end)
{
    assert(start < end);
    uint32_t first = first_above(c, start > 0 ? start - 1 : 0), last = first;
    struct interval all = {start, end};
    for (; last < c->n && c->interval[last].start <= end; last++) {
        const struct interval *i = &c->interval[last];
        all.start = i->start < all.start ? i->start : all.start;
        all.end = i->end > all.end ? i->end : all.end;
    }
    replace(c, first, last, &all, 1);
    c->gap = (struct interval){0};
    assert(clean_is_valid(c));
}

/* [------- a -------]  with what is handed out from inside a  =>  [ a ][taken][ a ] */
void clean_cut(struct clean *c, uint32_t start, uint32_t end)
{
    struct interval rest[2];
    uint32_t first = first_above(c, start), last = first, nrest = 0;
    c->taken = (struct interval){0};
    for (; last < c->n && c->interval[last].start < end; last++) {
        const struct interval *i = &c->interval[last];
        struct interval part = {i->start > start ? i->start : start, i->end < end ? i->end : end};
        if (interval_length(&part) > interval_length(&c->taken))
            c->taken = part;
        /* Only the first can begin below `start`, and only the last can end above `end`. */
        if (i->start < start)
            rest[nrest++] = (struct interval){i->start, start};
        if (i->end > end)
            rest[nrest++] = (struct interval){end, i->end};
    }
    if (last > first)
        replace(c, first, last, rest, nrest);
    first = first_above(c, start); /* an interval may have been forgotten */
    c->gap.start = first > 0 ? c->interval[first - 1].end : 0;
    c->gap.end = first < c->n ? c->interval[first].start : UINT32_MAX;
    assert(c->gap.start <= start && end <= c->gap.end);
    assert(clean_is_valid(c));
}

uint32_t clean_count(const struct clean *c, uint32_t start, uint32_t end)
{
    uint32_t sum = 0;
    for (uint32_t i = first_above(c, start); i < c->n && c->interval[i].start < end; i++) {
        const struct interval *at = &c->interval[i];
        struct interval part = {at->start > start ? at->start : start, least(at->end, end)};
        sum += interval_length(&part);
    }
    return sum;
}

bool clean_is_valid(const struct clean *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        if (c->interval[i].start >= c->interval[i].end ||
            (i > 0 && c->interval[i - 1].end >= c->interval[i].start))
            return false;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->interval[i].start < c->gap.end && c->interval[i].end > c->gap.start)
            return false;
    return c->n <= CLEAN_MAX;
}

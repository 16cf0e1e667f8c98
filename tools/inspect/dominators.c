/* SPDX-License-Identifier: MIT
 *
 * dominators.c - finds dominators as Lengauer and Tarjan do. Invariants: dominators.h.
 *
 * The names are theirs: the semidominator of a node, and the forest of the nodes that were
 * processed, last position first, in which paths are compressed. All are positions.
 */
#include "dominators.h"

#include <err.h>
#include <stdlib.h>

#include "command.h"

enum { NOWHERE = 0xffffffff };

struct work {
    const struct edges *e;
    size_t nstrong;
    uint32_t n;
    uint32_t weak;        /* the position of the first node that a weak edge has led to */
    uint32_t *node;       /* at a position */
    uint32_t *position;   /* of a node; NOWHERE: it was not met */
    uint32_t *ancestor;   /* at first the parent in the search's tree; shorter ways later */
    size_t *first_before; /* before[first_before[p]] ...: from where edges lead to p */
    uint32_t *before;
    uint32_t linked;       /* the nodes from this position on are in the forest */
    uint32_t *semi, *best; /* best: of the path to the tree's root, the node of the lowest semi */
    uint32_t *bucket;      /* the first node whose semidominator is this one; idom has the next */
    uint32_t *idom;
};

static void *new_array(size_t n, size_t nbytes)
{
    void *array = calloc(n, nbytes);
    if (array == NULL)
        err(UNKNOWN, "the dominators of %zu objects", n);
    return array;
}

static uint32_t *new_numbers(size_t n)
{
    return new_array(n, sizeof(uint32_t));
}

static uint32_t meet(struct work *w, uint32_t node, uint32_t parent)
{
    w->position[node] = w->n;
    w->node[w->n] = node;
    w->ancestor[w->n] = parent;
    return w->n++;
}

/* The depth-first search. It goes back to the parent when a node has no edge left. */
static void search(struct work *w)
{
    const struct edges *e = w->e;
    uint32_t *ntaken = new_numbers(e->nnodes); /* edges, at each position */
    uint32_t at = meet(w, 0, 0);
    w->weak = NOWHERE;
    for (;;) {
        uint32_t node = w->node[at];
        size_t edge = e->first[node] + ntaken[at];
        if (at == 0 && ntaken[0] == w->nstrong)
            w->weak = w->n;
        if (edge < e->first[node + 1]) {
            ntaken[at]++;
            if (w->position[e->to[edge]] == NOWHERE)
                at = meet(w, e->to[edge], at);
        } else if (at == 0) {
            break;
        } else {
            at = w->ancestor[at];
        }
    }
    free(ntaken);
}

/* Returns whether an edge counts: a weak one of the root, or one of a node that only those lead to,
 * does not if it leads to what the others lead to. */
static bool counts(const struct work *w, uint32_t from, size_t edge, uint32_t to)
{
    bool is_strong = from == 0 ? edge < w->nstrong : from < w->weak;
    return is_strong || to >= w->weak;
}

/* Turns all edges round. The sums are at first where the edges of a position end; each edge that is
 * filled in moves that down, to where they begin in the end. */
static void turn_round(struct work *w)
{
    const struct edges *e = w->e;
    size_t *first = w->first_before = new_array((size_t)w->n + 1, sizeof *first), sum = 0;
    for (int is_filling = 0; is_filling < 2; is_filling++) {
        for (uint32_t from = 0; from < w->n; from++)
            for (size_t i = e->first[w->node[from]]; i < e->first[w->node[from] + 1]; i++) {
                uint32_t to = w->position[e->to[i]];
                if (!counts(w, from, i, to))
                    continue;
                if (is_filling)
                    w->before[--first[to]] = from;
                else
                    first[to]++;
            }
        if (is_filling)
            break;
        for (uint32_t to = 0; to < w->n; to++)
            first[to] = sum += first[to];
        first[w->n] = sum;
        w->before = new_numbers(sum + 1);
    }
}

/* Makes the way from a node in the forest to the root of its tree one step long, and sets `best`
 * along it. The links are turned round on the way up, so that it leads down again. */
static void compress(struct work *w, uint32_t at)
{
    uint32_t below = NOWHERE, above;
    while (w->ancestor[at] >= w->linked) {
        uint32_t up = w->ancestor[at];
        w->ancestor[at] = below;
        below = at;
        at = up;
    }
    for (above = at; below != NOWHERE; above = at) {
        at = below;
        below = w->ancestor[at];
        if (w->semi[w->best[above]] < w->semi[w->best[at]])
            w->best[at] = w->best[above];
        w->ancestor[at] = w->ancestor[above];
    }
}

/* Returns, of the nodes on the way from a node up to the root of its tree, without that root, the
 * one whose semidominator is lowest; the node itself if it is not in the forest yet. */
static uint32_t lowest(struct work *w, uint32_t at)
{
    if (at < w->linked)
        return at;
    compress(w, at);
    return w->best[at];
}

/* Finds the semidominator of a node, and files the node there. */
static void find_semi(struct work *w, uint32_t at)
{
    for (size_t i = w->first_before[at]; i < w->first_before[at + 1]; i++) {
        uint32_t semi = w->semi[lowest(w, w->before[i])];
        w->semi[at] = semi < w->semi[at] ? semi : w->semi[at];
    }
    uint32_t *bucket = &w->bucket[w->semi[at]];
    w->idom[at] = *bucket;
    *bucket = at;
}

/* For each node whose semidominator is `semi`: that is its immediate dominator, or a node with a
 * lower semidominator has the same one. */
static void empty_bucket(struct work *w, uint32_t semi)
{
    for (uint32_t at = w->bucket[semi], next; at != 0; at = next) {
        next = w->idom[at];
        uint32_t low = lowest(w, at);
        w->idom[at] = w->semi[low] < semi ? low : semi;
    }
    w->bucket[semi] = 0;
}

static void find_all(struct work *w)
{
    w->linked = w->n;
    for (uint32_t at = w->n; at-- > 0;)
        w->semi[at] = w->best[at] = at;
    for (uint32_t at = w->n; --at > 0;) {
        uint32_t parent = w->ancestor[at];
        find_semi(w, at);
        w->linked = at;
        empty_bucket(w, parent);
    }
    for (uint32_t at = 1; at < w->n; at++)
        if (w->idom[at] != w->semi[at])
            w->idom[at] = w->idom[w->idom[at]];
}

struct dominators dominators_find(const struct edges *e, size_t nstrong)
{
    struct work w = {.e = e, .nstrong = nstrong};
    w.node = new_numbers(e->nnodes);
    w.position = new_numbers(e->nnodes);
    w.ancestor = new_numbers(e->nnodes);
    for (uint32_t i = 0; i < e->nnodes; i++)
        w.position[i] = NOWHERE;
    search(&w);
    turn_round(&w);
    free(w.position);
    w.semi = new_numbers(w.n);
    w.best = new_numbers(w.n);
    w.bucket = new_numbers(w.n);
    w.idom = new_numbers(w.n);
    find_all(&w);
    free(w.ancestor);
    free(w.first_before);
    free(w.before);
    free(w.semi);
    free(w.best);
    free(w.bucket);
    return (struct dominators){.n = w.n, .node = w.node, .idom = w.idom};
}

void dominators_close(struct dominators *d)
{
    free(d->node);
    free(d->idom);
}

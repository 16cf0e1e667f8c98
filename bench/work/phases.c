/* SPDX-License-Identifier: MIT
 *
 * phases.c - workloads whose allocations change over time: sizes drift, trees are built and
 * freed, documents are parsed and freed.
 */
#include <stdlib.h>

#include "work.h"

/* --- drift ------------------------------------------------------------------- */

enum { NCYCLES = 4, LEAST_MEAN_BYTES = 32, NMEAN_DOUBLINGS = 7 };

/* The mean size at operation i: it rises from 32 to 4,096 and falls back, NCYCLES times in a
   run. */
static size_t mean_at(uint64_t i, uint64_t noperations)
{
    double cycle = (double)i / (double)noperations * NCYCLES;
    double phase = cycle - (double)(int)cycle;
    double height = (phase < 0.5 ? phase : 1 - phase) * 2 * NMEAN_DOUBLINGS;
    unsigned whole = (unsigned)height;

    return (size_t)((double)((size_t)LEAST_MEAN_BYTES << whole) * (1 + height - whole));
}

/* A long run in which the sizes drift: memory that small objects have left must be used for
   large ones, and then for small ones again. Half of the objects live fifteen times as long as
   the other half. An operation is a free and a malloc. The peak memory is what matters. */
void run_drift(struct job *job)
{
    size_t n = job->work->nlive;
    void **objects = table_new(n * sizeof(*objects));
    uint64_t state = 1, sum = 0;

    clock_start(job);
    for (uint64_t i = 0; i < job->noperations; i++) {
        size_t mean = mean_at(i, job->noperations);
        size_t victim = draw_below(&state, i % 8 == 0 ? n : n / 2);
        if (objects[victim] != NULL)
            sum += look(objects[victim]);
        free(objects[victim]);
        size_t nbytes = draw_between(&state, mean / 2, mean + mean / 2);
        objects[victim] = must(malloc(nbytes));
        mark_pages(objects[victim], nbytes, i);
    }
    clock_stop(job);
    for (size_t i = 0; i < n; i++)
        free(objects[i]);
    job->sum = sum;
}

/* --- trees -------------------------------------------------------------------- */

enum { STANDING_DEPTH = 17, LEAST_DEPTH = 4, MOST_DEPTH = 12 };

struct branch {
    struct branch *left, *right;
    uint64_t value;
};

static struct branch *grow(unsigned depth)
{
    struct branch *b = must(malloc(sizeof(*b)));
    b->value = depth;
    b->left = depth > 0 ? grow(depth - 1) : NULL;
    b->right = depth > 0 ? grow(depth - 1) : NULL;
    return b;
}

static uint64_t fell(struct branch *b)
{
    if (b == NULL)
        return 0;
    uint64_t sum = b->value + fell(b->left) + fell(b->right);
    free(b);
    return sum;
}

static uint64_t count_nodes(unsigned depth)
{
    return ((uint64_t)2 << depth) - 1;
}

/* Builds and frees full binary trees of 24-byte nodes, 4 to 12 levels deep, two at a time. One
   tree of 17 levels lives during the whole run. An operation is a node: it is allocated, read
   and freed. */
void run_tree(struct job *job)
{
    unsigned standing_depth = job->scale < 0.1 ? MOST_DEPTH : STANDING_DEPTH;
    struct branch *standing = grow(standing_depth);
    uint64_t ndone = count_nodes(standing_depth), sum = 0;

    for (unsigned depth = LEAST_DEPTH; ndone < job->noperations;
         depth = depth < MOST_DEPTH ? depth + 2 : LEAST_DEPTH) {
        struct branch *one = grow(depth), *other = grow(depth);
        sum += fell(one) + fell(other);
        ndone += 2 * count_nodes(depth);
    }
    job->sum = sum + fell(standing);
    job->noperations = ndone;
}

/* --- a parser ------------------------------------------------------------------- */

enum {
    NNODES = 3000, /* nodes of a document */
    MOST_OPEN = 24,
    NKEPT = 1000, /* names that outlive their documents */
    NAMED_LEAST = 8,
    NAMED_MOST = 56
};

struct node {
    uint64_t value;
    char *name;
    struct node **children;
    size_t nchildren;
    size_t capacity;
};

static struct node *node_new(uint64_t *state, uint64_t *noperations)
{
    struct node *node = must(calloc(1, sizeof(*node)));
    size_t nbytes = draw_between(state, NAMED_LEAST, NAMED_MOST);

    node->value = nbytes;
    node->name = must(malloc(nbytes));
    memset(node->name, (int)nbytes, nbytes);
    *noperations += 2;
    return node;
}

static void node_add(struct node *parent, struct node *child, uint64_t *noperations)
{
    if (parent->nchildren == parent->capacity) {
        parent->capacity = parent->capacity == 0 ? 2 : parent->capacity * 2;
        parent->children =
            must(realloc(parent->children, parent->capacity * sizeof(*parent->children)));
        (*noperations)++;
    }
    parent->children[parent->nchildren++] = child;
}

/* Frees a node with its children. One name in 32 is kept, and replaces one that was kept from
   an earlier document. */
static uint64_t node_free(struct node *node, uint64_t *state, char **kept)
{
    uint64_t sum = node->value + look(node->name);

    for (size_t i = 0; i < node->nchildren; i++)
        sum += node_free(node->children[i], state, kept);
    if (draw_below(state, 32) == 0) {
        size_t place = draw_below(state, NKEPT);
        sum += kept[place] != NULL ? look(kept[place]) : 0;
        free(kept[place]);
        kept[place] = node->name;
    } else {
        free(node->name);
    }
    free(node->children);
    free(node);
    return sum;
}

static struct node *parse(uint64_t *state, uint64_t *noperations)
{
    struct node *open[MOST_OPEN] = {node_new(state, noperations)};
    size_t nopen = 1;

    for (int i = 1; i < NNODES; i++) {
        struct node *child = node_new(state, noperations);
        node_add(open[nopen - 1], child, noperations);
        size_t turn = draw_below(state, 8);
        if (turn < 3 && nopen < MOST_OPEN)
            open[nopen++] = child;
        else if (turn < 6 && nopen > 1)
            nopen--;
    }
    return open[0];
}

/* Parses documents. The nodes, the names and the growing lists of children of a document are
   allocated together and freed together, except a few names. An operation is the allocation
   and the free of an object, or the growth of a list. */
void run_parser(struct job *job)
{
    char **kept = table_new(NKEPT * sizeof(*kept));
    uint64_t state = 1, ndone = 0, sum = 0;

    clock_start(job);
    while (ndone < job->noperations)
        sum += node_free(parse(&state, &ndone), &state, kept);
    clock_stop(job);
    for (size_t i = 0; i < NKEPT; i++)
        free(kept[i]);
    job->sum = sum;
    job->noperations = ndone;
}

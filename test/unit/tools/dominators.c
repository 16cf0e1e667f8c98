/* SPDX-License-Identifier: MIT
 *
 * dominators.c - checks the dominators of small random graphs by removing each node in turn and
 * searching what can still be reached, and those of long lists (tools/inspect/dominators.h).
 */
#include "unit.h"

#include <stdlib.h>

#include "dominators.h"

enum { MOST = 12, NGRAPHS = 20000 };

/* A graph as a table: whether a leads to b. Edges of the root to nodes above `nstrong` are weak. */
struct graph {
    uint32_t n, nstrong;
    bool leads[MOST][MOST];
};

static struct graph random_graph(uint64_t *seed)
{
    struct graph g = {.n = 1 + rnd(seed, MOST)};
    uint32_t one_in = 2 + rnd(seed, 8);
    g.nstrong = rnd(seed, g.n + 1);
    for (uint32_t a = 0; a < g.n; a++)
        for (uint32_t b = 0; b < g.n; b++)
            g.leads[a][b] = rnd(seed, one_in) == 0;
    return g;
}

/* Follows edges from `at`, if no way leads through `without`. */
static void reach(const struct graph *g, uint32_t at, uint32_t without, bool *reached)
{
    if (reached[at] || at == without)
        return;
    reached[at] = true;
    for (uint32_t b = 0; b < g->n; b++)
        if (g->leads[at][b])
            reach(g, b, without, reached);
}

/* Returns the graph without the edges that do not count: to what strong edges lead to, from what
 * they do not lead to. */
static struct graph without_weak(const struct graph *all)
{
    bool strong[MOST] = {true};
    struct graph g = *all;
    for (uint32_t b = 0; b < g.nstrong; b++)
        if (g.leads[0][b])
            reach(&g, b, MOST, strong);
    for (uint32_t a = 0; a < g.n; a++)
        for (uint32_t b = 0; b < g.n; b++)
            if (strong[b] && (!strong[a] || (a == 0 && b >= g.nstrong)))
                g.leads[a][b] = false;
    return g;
}

/* Makes lists of the table, and returns how many edges of the root are strong. */
static size_t list_edges(const struct graph *g, size_t *first, uint32_t *to)
{
    size_t n = 0, nstrong = 0;
    for (uint32_t a = 0; a < g->n; a++) {
        first[a] = n;
        for (uint32_t b = 0; b < g->n; b++)
            if (g->leads[a][b]) {
                nstrong += a == 0 && b < g->nstrong;
                to[n++] = b;
            }
    }
    first[g->n] = n;
    return nstrong;
}

/* Of the nodes that dominate one, the immediate dominator is dominated by all others: so it is
 * reached by the fewest nodes less. */
static void check_graph(const struct graph *all)
{
    size_t first[MOST + 1];
    uint32_t to[MOST * MOST], nreached = 0, found[MOST];
    struct edges e = {all->n, first, to};
    struct dominators d = dominators_find(&e, list_edges(all, first, to));
    struct graph g = without_weak(all);
    bool reached[MOST] = {0}, rest[MOST][MOST] = {{0}};
    reach(&g, 0, MOST, reached);
    for (uint32_t a = 0; a < g.n; a++) {
        nreached += reached[a];
        found[a] = MOST;
        reach(&g, 0, a, rest[a]);
    }
    assert_int_equal(d.n, nreached);
    for (uint32_t p = 0; p < d.n; p++) {
        assert_true(d.idom[p] < p || p == 0);
        found[d.node[p]] = d.node[d.idom[p]];
    }
    for (uint32_t b = 1; b < g.n; b++) {
        if (!reached[b]) {
            assert_int_equal(found[b], MOST);
            continue;
        }
        for (uint32_t a = 0; a < g.n; a++) {
            bool dominates = a != b && reached[a] && !rest[a][b];
            bool is_above = false; /* as the tree says it */
            for (uint32_t up = found[b];; up = found[up]) {
                is_above |= up == a;
                if (up == 0)
                    break;
            }
            assert_int_equal(is_above, dominates);
        }
    }
    dominators_close(&d);
}

static void test_small_graphs_as_by_removing_each_node(void **state)
{
    uint64_t seed = 1;
    (void)state;
    for (uint32_t i = 0; i < NGRAPHS; i++) {
        struct graph g = random_graph(&seed);
        check_graph(&g);
    }
}

/* A list, each node of which leads to the next one and, if it is linked in both directions, to the
 * one before. */
static void check_list(uint32_t n, bool is_double)
{
    struct edges e = {.nnodes = n};
    size_t k = 0;
    e.first = calloc((size_t)n + 1, sizeof *e.first);
    e.to = calloc((size_t)n * 2, sizeof *e.to);
    assert_true(e.first != NULL && e.to != NULL);
    for (uint32_t i = 0; i < n; i++) {
        e.first[i] = k;
        if (is_double && i > 0)
            e.to[k++] = i - 1;
        if (i + 1 < n)
            e.to[k++] = i + 1;
    }
    e.first[n] = k;
    struct dominators d = dominators_find(&e, 1);
    assert_int_equal(d.n, n);
    for (uint32_t p = 1; p < n; p++)
        assert_int_equal(d.idom[p], p - 1);
    dominators_close(&d);
    free(e.first);
    free(e.to);
}

static void test_lists_of_a_million_nodes(void **state)
{
    (void)state;
    check_list(1000000, false);
    check_list(1000000, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_graphs_as_by_removing_each_node),
        cmocka_unit_test(test_lists_of_a_million_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

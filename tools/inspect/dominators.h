/* SPDX-License-Identifier: MIT
 *
 * dominators.h - which node of a graph is on each way to another one.
 *
 *     0 -> 1 -> 3 -> 4        A node dominates another one if each way from the root, node 0, to
 *     |         ^             that one leads through it: 3 dominates 4. The closest such node is
 *     +--> 2 ---+             its immediate dominator: that of 3 is 0.
 *
 * If the nodes are objects and the edges are pointers, a node dominates what would become garbage
 * if it went.
 *
 *   DM1  positions count the nodes that can be reached in the order in which a depth-first search
 *        meets them; the immediate dominator of a node has a lower position than the node.
 *
 * Lengauer and Tarjan, "A Fast Algorithm for Finding Dominators in a Flowgraph", 1979: the simple
 * form, whose time is O(m log n) for n nodes and m edges. Nothing here is recursive.
 */
#ifndef DOMINATORS_H
#define DOMINATORS_H

#include <stddef.h>
#include <stdint.h>

/* Node i leads to the nodes to[first[i]] up to to[first[i + 1] - 1]. */
struct edges {
    uint32_t nnodes; /* 1 at least */
    size_t *first;   /* nnodes + 1 numbers, the first of which is 0 */
    uint32_t *to;
};

struct dominators {
    uint32_t n;     /* how many nodes can be reached; the root is at position 0 */
    uint32_t *node; /* which node each position stands for [DM1] */
    uint32_t *idom; /* the position of its immediate dominator; 0 for the root */
};

/* Finds the dominators. Of the root's edges, those from `nstrong` on are weak: what can be reached
 * by the edges before them counts as if there were no way to it by a weak one. Takes memory for
 * each node and each edge, or ends the tool. */
struct dominators dominators_find(const struct edges *e, size_t nstrong);

void dominators_close(struct dominators *d);

#endif

/* SPDX-License-Identifier: MIT
 *
 * mark-sweep.c - a collector of garbage in a hundred lines, on two questions that a heap
 * can answer: what object is this address in, and which objects are there?
 *
 *     mark-sweep [NODES]
 *
 * It is conservative: every word of an object that is an address inside another, also in
 * its middle, keeps that one alive. Whatever cannot be reached from the roots goes,
 * cycles too. Boehm and Weiser, "Garbage Collection in an Uncooperative Environment", 1988.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../include/mem_heap.h"

/* Before the program's part of each object. */
struct header {
    struct header *next; /* in the list of those to be looked at, or to be freed */
    size_t marked;
};

enum { NROOTS = 4 };
static void *root[NROOTS];
static mem_heap *heap;

static void *new_object(size_t size)
{
    struct header *h = mem_zalloc(heap, sizeof *h + size);
    if (h == NULL) {
        fprintf(stderr, "mark-sweep: %s\n", mem_strerror(mem_last_error()));
        exit(1);
    }
    return h + 1;
}

/* Is there an object at that word, not marked before? Then it is to be looked at. */
static void mark(const void *word, struct header **list)
{
    struct mem_piece found;
    if (mem_find_in(heap, word, &found) != MEM_OK || !found.live)
        return;
    struct header *h = found.start;
    if (h->marked)
        return;
    h->marked = 1;
    h->next = *list;
    *list = h;
}

static void mark_all(void)
{
    struct header *list = NULL;
    for (int i = 0; i < NROOTS; i++)
        mark(root[i], &list);
    while (list != NULL) {
        struct header *h = list;
        struct mem_piece self;
        list = h->next;
        mem_find_in(heap, h, &self);
        void **word = (void **)(void *)(h + 1);
        void **end = word + (self.size - sizeof *h) / sizeof *word;
        while (word < end)
            mark(*word++, &list);
    }
}

/* While the heap is walked nothing can be freed: a list of what will be. */
static bool sweep(const struct mem_piece *piece, void *list)
{
    struct header *h = piece->start, **garbage = list;
    if (!piece->live)
        return true;
    if (!h->marked) {
        h->next = *garbage;
        *garbage = h;
    }
    h->marked = 0;
    return true;
}

static size_t collect(void)
{
    struct header *garbage = NULL;
    size_t n = 0;
    mark_all();
    mem_walk(heap, sweep, &garbage);
    for (struct header *next; garbage != NULL; garbage = next, n++) {
        next = garbage->next;
        mem_free(heap, garbage);
    }
    return n;
}

/* --- a program ------------------------------------------------------------------- */

struct node {
    struct node *next, *previous;
    char text[40];
};

/* Each points to both its neighbours: no count of references would ever be 0. */
static struct node *ring(size_t n)
{
    struct node *first = new_object(sizeof *first), *last = first;
    first->next = first->previous = first;
    for (size_t i = 1; i < n; i++) {
        struct node *node = new_object(sizeof *node);
        node->previous = last;
        node->next = first;
        last->next = first->previous = node;
        last = node;
    }
    return first;
}

static void report(const char *what)
{
    struct mem_statistics before, after;
    mem_stats(heap, &before);
    size_t n = collect();
    mem_stats(heap, &after);
    printf("%-34s %7zu objects, %7zu collected, %7zu left\n", what, before.live_objects, n,
           after.live_objects);
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    if (argc > 2 || n == 0) {
        fprintf(stderr, "usage: mark-sweep [NODES]\n");
        return 64;
    }
    struct mem_options options = {.flags = MEM_SINGLE_THREADED};
    heap = mem_heap_create((size_t)1 << 30, &options);
    if (heap == NULL) {
        fprintf(stderr, "mark-sweep: %s\n", mem_strerror(mem_last_error()));
        return 1;
    }
    root[0] = ring(n);
    ring(n);
    report("two rings, one reachable");
    root[0] = ((struct node *)root[0])->previous->text + 20;
    report("reachable by a character inside");
    struct node *node = root[1] = ring(n);
    node->previous->previous->next = NULL; /* one out of it; it still points in */
    node->previous = NULL;
    report("one node cut off from a ring");
    root[0] = NULL;
    report("the first ring is let go");
    root[1] = NULL;
    report("nothing is reachable");
    struct mem_statistics s;
    bool whole =
        mem_check(heap, NULL) == MEM_OK && mem_stats(heap, &s) == MEM_OK && s.free_chunks == 1;
    printf(whole ? "The heap is one free chunk again.\n" : "The heap is NOT whole.\n");
    mem_heap_destroy(heap);
    return whole ? 0 : 1;
}

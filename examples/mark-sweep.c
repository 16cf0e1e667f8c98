/* SPDX-License-Identifier: MIT
 *
 * mark-sweep.c - a garbage collector in a hundred lines.
 *
 *     make build/examples/mark-sweep
 *     LD_LIBRARY_PATH=build build/examples/mark-sweep [NODES]
 *
 * The collector frees every object that the program can no longer reach. It rests on two
 * questions that a heap can answer:
 *
 *     mem_find_in   which object does this address lie in?
 *     mem_walk      which objects are there?
 *
 * It works in two phases. Mark: starting from the roots, it looks at each word of each object
 * that it reaches, and marks the object that the word points into, if there is one. Sweep: it
 * walks the heap, and frees the objects that are not marked. Objects that point to each other
 * in a cycle are freed too if no root reaches them; a reference count would keep them forever.
 *
 * The collector is conservative. It does not know which words are pointers: a word that
 * happens to be an address inside an object, even in its middle, keeps that object alive.
 * Boehm and Weiser, "Garbage Collection in an Uncooperative Environment", 1988.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../include/mem_heap.h"

/* Precedes the program's part of each object. */
struct header {
    struct header *next; /* in the list of objects to be scanned, or in that of the garbage */
    size_t marked;
};

/* The roots: the collector keeps what can be reached from these pointers. A collector for
 * whole programs would also scan the stack, the registers and the static variables. */
enum { NROOTS = 4 };
static void *root[NROOTS];
static mem_heap *heap;

/* Allocates a zeroed object, and returns the address behind its header. */
static void *new_object(size_t size)
{
    struct header *h = mem_zalloc(heap, sizeof *h + size);
    if (h == NULL) {
        fprintf(stderr, "mark-sweep: %s\n", mem_strerror(mem_last_error()));
        exit(1);
    }
    return h + 1;
}

/* If the word is an address inside a live object that is not marked yet, marks that object
 * and adds it to the list of objects to be scanned. The word can be any value: mem_find_in
 * answers for every address, and does not read what is there. */
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

/* Marks everything that can be reached. An object is marked when it enters the list, so it
 * is scanned once, and a cycle ends. The list takes the place of recursion, which would need
 * a stack as deep as the longest chain of objects. */
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

/* The visitor of mem_walk: adds an object that is not marked to the list of garbage, and
 * removes the mark of an object that is. A visitor must not free an object of the heap that
 * is being walked, so collect() frees the list after the walk. */
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

/* Frees every object that cannot be reached, and returns their number. */
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

/* --- a program that uses the collector ------------------------------------------ */

struct node {
    struct node *next, *previous;
    char text[40];
};

/* Makes a ring of n nodes. Each node points to both of its neighbours, so a reference count
 * of a node would never become 0. */
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

/* Collects, and prints the number of objects before and after. */
static void report(const char *what)
{
    struct mem_statistics before, after;
    mem_stats(heap, &before);
    size_t n = collect();
    mem_stats(heap, &after);
    printf("%-34s %7zu object%-2s %7zu collected, %7zu left\n", what, before.live_objects,
           before.live_objects == 1 ? "," : "s,", n, after.live_objects);
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
    /* The root points into the middle of a node: to a character of its text. */
    root[0] = ((struct node *)root[0])->previous->text + 20;
    report("reachable by a character inside");
    struct node *node = root[1] = ring(n);
    /* Cuts the last node off: no other node points to it, but it still points to two. */
    node->previous->previous->next = NULL;
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

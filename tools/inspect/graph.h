/* SPDX-License-Identifier: MIT
 *
 * graph.h - which objects of a target point to which, and from where they can be reached.
 *
 *     roots      registers, stacks, and other memory that the program writes to or has written to
 *       |        a word that is the address of a byte of an object is a pointer
 *       v
 *     objects -> objects -> ...
 *
 *   GA1  a word of a root or of an object counts as a pointer if it lies at a multiple of 8 and is
 *        the address of any byte of a live object, or the start of an object of 0 bytes. So a
 *        number may be taken for a pointer, and a leak be missed; but an object that is in use is
 *        called unreachable only if its address is kept in another form;
 *   GA2  memory of a heap, and what the library itself notes about heaps, is no root. Neither is
 *        what lies below the stack pointer in a thread's own stack. Any other mapping that a thread
 *        runs on may hold stacks of coroutines that wait, so that all of it is a root. A heap that
 *        lies in an object of another heap is not part of that object's contents; but each object
 *        in it keeps that object alive;
 *   GA3  all that is read of a process is of the moment at which it was stopped.
 *
 * Objects are numbered from 0, heap by heap and in address order. The time of everything here is
 * linear in the memory that is read, and the memory that it takes is bounded by what the target
 * has.
 *
 * Conservative marking: Boehm and Weiser, "Garbage Collection in an Uncooperative Environment",
 * 1988.
 */
#ifndef GRAPH_H
#define GRAPH_H

#include "heaps.h"
#include "origins.h"
#include "target.h"

enum { NO_OBJECT = 0xffffffff };

struct graph;

struct look;

/* Opens a target and its heaps (command.h), and reads the roots, what the objects hold, and the
 * history, unless `history` is NULL. A process is stopped meanwhile, and goes on. Returns NULL
 * after a message; else the caller closes the graph, and then what was opened. */
struct graph *graph_open(struct look *look, const char *name, struct origins *history);

/* Finds all objects. Called once, before the functions below. */
void graph_build(struct graph *g);
void graph_close(struct graph *g);

/* Of the roots and of the objects, how many bytes were read, and how many could not be. */
uint64_t graph_nbytes(const struct graph *g);
uint64_t graph_nunread(const struct graph *g);

/* Returns whether all pointers of the target are known. If not, an object may be reachable although
 * no way to it is found: memory could not be read, as that of a snapshot without payload; the file
 * was cut off; or the registers of a thread are not known. */
bool graph_is_whole(const struct graph *g);

/* Says what is not known: nothing, if the graph is whole. */
void graph_print_gaps(FILE *f, const struct graph *g);

/* Prints that as members of a JSON object, with a comma and a line's end behind them. */
void graph_print_json_gaps(const struct graph *g);

/* --- objects ------------------------------------------------------------------------ */

struct graph_object {
    uint64_t start;
    size_t size; /* in bytes, as asked for */
    const struct view *view;
};

uint32_t graph_nobjects(const struct graph *g);
struct graph_object graph_object(const struct graph *g, uint32_t object);

/* Returns the object that an address lies in, of the innermost heap; or NO_OBJECT. */
uint32_t graph_find(const struct graph *g, uint64_t address);

/* Returns the object that the heap of an object lies in [GA2], or NO_OBJECT. */
uint32_t graph_outer(const struct graph *g, uint32_t object);

/* Returns the word at an offset, a multiple of 8, of an object; 0 if the object is shorter. */
uint64_t graph_word(const struct graph *g, uint32_t object, size_t offset);

/* --- roots -------------------------------------------------------------------------- */

enum root_kind { ROOT_REGISTERS, ROOT_STACK, ROOT_MAPPING };

struct root {
    enum root_kind kind;
    int thread;                    /* whose registers or stack */
    uint64_t start, end;           /* the part of the mapping that is the root */
    const struct mapping *mapping; /* NULL for registers */
    size_t first, npointers;       /* graph_root_pointers */
};

/* Returns whether mapping i of a target may hold pointers: the program may write to it, or may have
 * written to it before it was protected. */
bool graph_is_root(const struct target *t, size_t i);

size_t graph_nroots(const struct graph *g);
const struct root *graph_root(const struct graph *g, size_t i);

/* A word that points to an object. */
struct pointer {
    uint64_t place;  /* its address; of registers, which: those of vectors begin at REGISTERS_MAX */
    uint32_t object; /* what it points to */
};

/* Returns the pointers of a root, in the order of their places. */
const struct pointer *graph_root_pointers(const struct graph *g, const struct root *root);

/* --- from object to object ------------------------------------------------------------ */

/* Calls `visit` for each pointer in an object; and, if the object lies in a heap that lies in an
 * object itself [GA2], with that object, and the place where the heap begins. */
typedef void pointer_visitor(void *context, uint64_t place, uint32_t object);
void graph_each_pointer(const struct graph *g, uint32_t object, pointer_visitor *visit,
                        void *context);

/* A set of objects. */
struct object_set {
    uint64_t *bits;
    uint32_t n;      /* how many are in it, */
    uint64_t nbytes; /* and their sizes */
};

static inline bool set_has(const struct object_set *s, uint32_t object)
{
    return s->bits[object / 64] >> object % 64 & 1;
}

void set_close(struct object_set *s);

/* How an object was reached first: from a root or from an object, by the pointer at `place`. */
struct way {
    uint64_t place;
    uint32_t from; /* a root or an object; NO_OBJECT: it was not reached */
    bool is_root;
};

/* Finds the objects that can be reached from the roots, if no way leads through the object
 * `without`, which may be NO_OBJECT. If `ways` is not NULL, it has room for one way for each
 * object, and following it leads back to a root by a shortest way. */
struct object_set graph_reach(const struct graph *g, uint32_t without, struct way *ways);

/* Adds to a set all objects that can be reached from one object, and that object, through objects
 * that are not in the set yet. */
void graph_add_reachable(const struct graph *g, uint32_t object, struct object_set *s);

#endif

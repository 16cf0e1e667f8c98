/* SPDX-License-Identifier: MIT
 *
 * heaps.h - the heaps of a target: found, copied, and read by the library's own code.
 *
 *     image of the library --note--> struct heap --> region | objects ...        | ledger |
 *     (base/describe.h)              or registry             page map, states       |
 *                                                               | copied            | copied
 *     view                           struct heap --> region | zero ... states ...| ledger |
 *
 * A view is a heap of its own in the tool: memory as large as the region, in which only the
 * metadata are filled in, and a struct heap that says so. Functions of src/ that only read heaps,
 * such as heap_piece_locked, lookup_heap and check_fault_locked, work on it.
 *
 *   HV1  what lies in a view has been validated, or is such that the library's code survives it;
 *   HV2  addresses in a view differ from those in the target by `delta`, a multiple of 64 KiB. The
 *        functions here take and give addresses of the target;
 *   HV3  a view takes memory only for what was read from the target, and all views together take no
 *        more than the target has (target_bytes).
 */
#ifndef HEAPS_H
#define HEAPS_H

#include "core/heap.h"
#include "core/pieces.h"
#include "target.h"

enum view_kind {
    VIEW_MALLOC,  /* the heap of libmem-malloc.so */
    VIEW_CLASSIC, /* that of Mem_Init */
    VIEW_OWN      /* a heap of the program's own, or one part of it */
};

/* No index of a view. */
#define NO_VIEW SIZE_MAX

struct view {
    enum view_kind kind;
    uint64_t address;  /* of the heap in the target: the mem_heap, or the struct heap */
    size_t part;       /* of a heap above 64 GiB */
    uint64_t base;     /* of the region, in the target, */
    size_t nbytes;     /* and how long it is */
    size_t within;     /* the view whose region this one lies in, or NO_VIEW */
    const char *fault; /* why it cannot be read, in words; NULL: it can */
    bool is_changing;  /* a thread was in the middle of a change each time that it was copied */
    uint64_t list;     /* where the head of its free list is in the target; 0: it has none */
    bool is_busy;      /* a thread was in the middle of a call, which may be about to change it */
    ptrdiff_t delta;   /* address in the copy - address in the target */
    struct heap heap;  /* opened on the copy, unless there is a fault */
    bool has_counters; /* the program counts its calls (`mem run --report'): as they are there */
    struct counters counters;
    void *memory; /* the copy: `reserved` bytes */
    size_t reserved;
};

struct heaps {
    struct view *views; /* by the address of the region: outer ones before those in them */
    size_t n;
    size_t ntries;         /* how often the target was stopped */
    bool is_list_changing; /* a thread was making or destroying a heap each time */
    struct extent list;    /* where the library keeps the list of all heaps; else empty */
};

/* Stops the target, copies its heaps, and leaves it stopped, so that the caller can read more of
 * the same moment; the caller then calls target_go_on. If a thread is in the middle of a call, the
 * target goes on for a moment, and is stopped and copied again, up to eight times. Returns false,
 * with the target going on, after a message: the target has no heap of libmem, or one of another
 * version, or cannot be read. */
bool heaps_open(struct heaps *hs, struct target *t);

/* The two halves of heaps_open, for a command that has to prepare something between them. The first
 * copies the heaps of a process while it runs: that copy may be nonsense, and shows how much there
 * is to copy; its memory is that of the second copy, for which the process is stopped. Of a core
 * file, the first half copies nothing. If one fails, the heaps are closed. */
bool heaps_prepare(struct heaps *hs, struct target *t);
bool heaps_copy(struct heaps *hs, struct target *t);

void heaps_close(struct heaps *hs);

/* Finds which pages of the heaps' regions are in memory, and stores them as a list of *n extents in
 * address order, which the caller frees. Returns false if that is not known. */
bool heaps_resident(const struct heaps *hs, struct target *t, struct extent **list, size_t *n);

/* Returns a name for messages: "malloc's heap", or "the heap at 0x...". It lasts until the next
 * call. */
const char *view_name(const struct view *v);

/* The view whose region an address is in, the innermost if heaps lie in objects of others; or
 * NULL. O(log n) for n heaps, except that it goes from the inner one outwards. */
const struct view *heaps_view_of(const struct heaps *hs, uint64_t address);

/* One piece of a region, at its address in the target. */
struct target_piece {
    uint64_t start;
    size_t nbytes; /* up to the next one */
    size_t size;   /* of an object, as asked for; of anything else 0 */
    enum piece_kind kind;
    bool is_slot;
};

/* Calls `visit` for each piece of a heap in address order, until it returns false. Returns false if
 * the heap is damaged: the pieces before that were shown. */
bool view_walk(const struct view *v, bool (*visit)(const struct target_piece *p, void *context),
               void *context);

/* Finds what an address in the region is: HEAP_OK (an object: *p), HEAP_FREE (*p), HEAP_NO_OBJECT
 * (slack, with *p the object before it; or metadata, with p->nbytes == 0), HEAP_DAMAGED or
 * HEAP_NOT_OURS. */
enum heap_result view_find(const struct view *v, uint64_t address, struct target_piece *p);

/* Counts what is in a view. Returns false if the heap is damaged: what came before that was
 * counted. */
bool view_tally(const struct view *v, struct pieces_tally *tally);

#endif

/* SPDX-License-Identifier: MIT
 *
 * registry.h - the table of heap ranges: which heap an address lies in, told without a lock.
 *
 *     range[0]      range[1]              range[n-1]       sorted by where they begin
 *     [ heap ]      [ heap [heap in an object of it] ]     up: how far back the one around it is
 *
 * The caller of registry_find may be a signal handler, which has interrupted anything, and another
 * thread may destroy the heap meanwhile. So:
 *
 *   RG1  the table is read under a sequence count, registry_version, and its own length lies in
 *        it: a thread that reads while it changes reads ranges that are or were, and then reads
 *        again;
 *   RG2  a heap leaves the table first; its memory goes after all lookups that had begun by then
 *        have ended (readers.h);
 *   RG3  nothing here lies in a heap: what is written over one heap misleads no lookup of others.
 */
#ifndef REGISTRY_H
#define REGISTRY_H

#include "base/seqcount.h"
#include "base/base.h"

struct heap;

/* What this process knows of the lock of a range's heap, for a fork (fork.c). It is kept here, as
 * the heap's memory may be shared with another process, which uses it, or be gone in a child. */
enum range_lock {
    RANGE_IN_USE,   /* this process made the heap, or has made a call on it since it was forked */
    RANGE_HELD,     /* the thread that is about to fork holds the lock */
    RANGE_INHERITED /* the heap is a parent's: this process has made no call on it */
};

struct heap_range {
    uintptr_t base;
    size_t nbytes;
    void *owner;             /* the mem_heap; NULL: it is a foreign heap */
    const struct heap *heap; /* NULL: it is too small to have one */
    uint32_t up;             /* how many ranges back is the one around it; 0: there is none */
    uint32_t version;        /* of the table, when this was found; 0: it is not to be noted */
    enum range_lock lock;
};

/* n lies in the table, so that a lookup which reads the pointer once has both from one table
 * [RG1]. */
struct table {
    uint32_t n, capacity;
    struct heap_range range[];
};

/* A tool of another version does not understand the table (base/describe.h). It changes with the
 * two structures. */
#define REGISTRY_LAYOUT ((1u << 16) + (unsigned)sizeof(struct heap_range))

/* --- changing ------------------------------------------------------------------- */

/* Adds a heap. Ranges that it covers, wholly or in part, leave the table: that memory is the new
 * heap's. A heap that lies beside it stays, even in an object of one that leaves. Returns false,
 * and changes nothing, if the table is full and the system gives no memory for a larger one; there
 * is no other system call. */
bool registry_add(const struct heap_range *p);

/* Takes the heap that begins at `base` out of the table, if it is there, and waits until no lookup
 * can be reading it. Returns false if that cannot be known: then its memory has to stay. */
bool registry_remove(const void *base);

/* Waits until all lookups that have begun have ended. Returns false if that cannot be known. */
bool registry_wait_for_readers(void);

/* The lock of the table. Within it lookups in this thread, which are a signal handler's, do not
 * wait (mutator_enter). */
void registry_lock(void);
void registry_unlock(void);

/* --- asking --------------------------------------------------------------------- */

/* Returns whether a heap of the table begins at `base`. */
bool registry_has(const void *base);

/* Returns the range that begins at `base`, or NULL. The caller holds the lock. */
struct heap_range *registry_at_locked(const void *base);

/* Calls `visit` for each range in turn until it returns false, and returns whether none did. A
 * visit may change `lock`, and nothing else. The caller holds the lock of the table. */
bool registry_all_locked(bool (*visit)(struct heap_range *p));

/* Returns whether the table is sorted, and each range's `up` is right: for assertions and tests, as
 * it takes O(n^2). The caller holds the lock. */
bool registry_is_valid_locked(void);

/* Stores the innermost range that the address is in. REGISTRY_BUSY: the table was changing all the
 * time, perhaps in the thread itself, which a signal has interrupted. The caller is within a
 * lookup. */
enum registry_result { REGISTRY_FOUND, REGISTRY_NONE, REGISTRY_BUSY };
enum registry_result registry_find(uintptr_t address, struct heap_range *p);

/* Stores the range around *inner, which registry_find or this has found in the same lookup. */
enum registry_result registry_find_around(const struct heap_range *inner, struct heap_range *p);

#endif

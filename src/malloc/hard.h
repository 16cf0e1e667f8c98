/* SPDX-License-Identifier: MIT
 *
 * hard.h - measures against a program's mistakes with its objects: LIBMEM=hard. What they promise,
 * and to which attacker, is in docs/hardening.md.
 *
 *     slot    [ object ][ canary ][ rest ]       slot    [ object of no byte ]  closed
 *     span    [slot][slot] ... [slot][closed]    large   [ object ][ canary ][ closed page ]
 *
 * A process that is hardened has no thread caches, so each call comes through a slow path and takes
 * the heap's lock; without the option the fast paths are as they were.
 *
 *   HA1  the room of an object of no byte is a granule, and each other object has more room. So an
 *        object of no byte with more room than a granule was freed, and is in quarantine;
 *   HA2  a measure is in force for all objects of the process or for none;
 *   HA3  what a measure finds is stored once for each call, and reported after the lock is free.
 *
 * The caller of each function holds the heap's lock.
 */
#ifndef HARD_H
#define HARD_H

#include "core/heap.h"
#include "malloc/call.h"
#include "malloc/options.h"

/* What a measure has found; what it is about is the object of that size which was at `start`. */
enum fault_kind {
    FAULT_NONE,
    FAULT_OVERRUN,  /* its canary is damaged from byte `at` on, counted from the object's start */
    FAULT_UNDERRUN, /* byte `at` before it was written to */
    FAULT_MISMATCH, /* it was allocated by a call of another family */
    FAULT_STALE     /* byte `at` was written to after the object had been freed */
};

struct fault {
    enum fault_kind kind;
    struct object object;
    size_t at;
    enum call allocated_by; /* of FAULT_MISMATCH: the first call of that family */
};

/* Which measures are in force: of MEASURES_HARD. 0 says that none is. */
extern unsigned hard_measures;

/* Puts the measures into force that the options ask for. The heap is not open yet. Returns NULL, or
 * why it could not be done. */
const char *hard_open(const struct options *o);

/* What the heap has to know of them. It was just opened. */
void hard_heap_opened(void);

/* In the child of a fork: it goes on with other random numbers than its parent. */
void hard_forked(void);

/* Takes an object of nbytes for `call`, as heap_take_room_locked does. */
enum heap_result hard_take(size_t nbytes, size_t align, enum call call, void **object,
                           struct object *zero, struct fault *fault);

/* Frees the object that begins at `address`, or holds it in quarantine. Stores what was freed. */
enum heap_result hard_free(const void *address, enum call call, struct object *found,
                           struct fault *fault);

/* Gives the object that begins at `address` the size nbytes > 0 where it lies. HEAP_NO_SPACE: it
 * has to move, or, if `anyway`, is too small. */
enum heap_result hard_resize(const void *address, size_t nbytes, bool anyway, enum call call,
                             struct fault *fault);

/* Says what an address is, as heap_find_exact does: what is in quarantine is free. */
enum heap_result hard_find(const void *address, struct object *found);

#endif

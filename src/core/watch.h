/* SPDX-License-Identifier: MIT
 *
 * watch.h - what memcheck is told of a heap (base/memcheck.h).
 *
 *   WA1  in a heap that is in use, each live object is a block of memcheck's, except one in which
 *        another heap was made;
 *   WA2  a node of the free list may be touched: a program may read it [C12].
 *
 * Every caller asks first whether memcheck_is_there, and holds the heap's lock.
 */
#ifndef WATCH_H
#define WATCH_H

#include "base/memcheck.h"
#include "core/heap.h"

/* A call is about to change the heap: the memory that records may grow into may be touched. */
void watch_change(const struct heap *h);

/* Takes an object, as heap_place_locked does with FIT_ANY, with bytes behind it that no other
 * object can have: so memcheck sees each write behind its end, and takes no touch of the next
 * object for one. (It takes a touch of the 24 bytes around a live block for one of that block.) The
 * heap has no free list. */
enum heap_result watch_place_apart(struct heap *h, size_t nbytes, size_t align, void **object);

/* An object was taken, or resized where it lies. What is freed is memcheck_free's. */
void watch_taken(const struct heap *h, void *object, size_t size);
void watch_resized(const struct heap *h, void *object, size_t old, size_t size);

/* The heap was attached, and its objects hold what they held; or it ends, and none of its objects
 * is a block any longer. */
void watch_attached(const struct heap *h);
void watch_ended(const struct heap *h);

/* Mem_Init's heap: takes and frees an object, as heap_take and heap_free do. The caller does not
 * hold the lock. */
enum heap_result watch_take(struct heap *h, size_t nbytes, enum fit fit, void **object);
enum heap_result watch_free(struct heap *h, const void *address);

#endif

/* SPDX-License-Identifier: MIT
 *
 * start.h - the heap of the process: how it begins, and what forks and threads need.
 *
 * Nobody may be asked for memory, and anybody may ask first: the dynamic linker does
 * before any constructor has run. So the lock needs no code to be ready, and a heap
 * that has not been opened says so (HEAP_NO_REGION), which is when it is opened. The
 * library is linked with `-z initfirst`: its constructor is the first of all, also
 * before libc's, and gets the environment as an argument. It has the fork handlers
 * registered before anybody else's. That counts: they run backwards before a fork, so
 * that the heap is locked last, and handlers of others may still allocate.
 *
 * There is no destructor: objects may be freed until the process is gone.
 *
 * Threads. Each has a cache of the heap (cache.h), from the first time that it asks for
 * memory until the destructor of a thread key gives it back. What the thread still asks for
 * after that is done under the lock, as is all that the cache cannot do.
 */
#ifndef START_H
#define START_H

#include "core/heap.h"
#include "malloc/options.h"
#include "malloc/counterfile.h"

extern struct heap shim_heap;

/* Guarded by the heap's lock until they have been read; then they do not change. */
extern struct options shim_options;

/* Where this process counts; NULL: nowhere. Set while there is one thread, at the start
 * and in the child of a fork. */
extern struct row *shim_row;

/* Opens the heap, if that is still to be done, and reads the options in this environment,
 * which may be NULL: then later. */
void shim_start(char *const *environment);

/* Whether the calling thread has a cache, now that it is asked. */
bool shim_ensure_tcache(void);

#endif

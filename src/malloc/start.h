/* SPDX-License-Identifier: MIT
 *
 * start.h - the heap of the process: how it is opened, and what forks and threads need.
 *
 * This code may not allocate, and any code may be the first to call malloc: the dynamic linker does
 * so before any constructor has run. So the lock is initialised statically, and a heap that is not
 * open yet answers HEAP_NO_REGION, upon which the caller opens it. The library is linked with
 * `-z initfirst`: its constructor runs before all others, libc's included, and is given the
 * environment as an argument. The constructor registers the fork handlers, so they are the first to
 * be registered. Handlers run in reverse order before a fork: the heap is locked last, and the
 * handlers of other libraries may still allocate.
 *
 * There is no destructor: objects may be freed until the process ends.
 *
 * Threads: each has a thread cache (slots/tcache.h), from its first allocation until the destructor
 * of a thread key closes it. What the thread asks for after that is served under the lock, like
 * everything that the cache cannot do.
 */
#ifndef START_H
#define START_H

#include "base/memcheck.h"
#include "core/heap.h"
#include "malloc/hard.h"
#include "malloc/options.h"
#include "malloc/counterfile.h"
#include "malloc/history.h"

/* The one heap of malloc in this process. */
extern struct heap shim_heap;

/* Written under the heap's lock, once; constant from then on. */
extern struct options shim_options;

/* The row in which this process counts, or NULL if it does not count. Set only while the process
 * has one thread: at the start, and in the child of a fork. */
extern struct row *shim_row;

/* The history of this process, or NULL if it keeps none. Set as shim_row is. */
extern struct history *shim_history;

/* Opens the heap if it is not open yet, and reads the options from `environment`. If that is NULL,
 * since libc does not know it yet, the constructor reads them later. Keeps errno. */
void shim_start(char *const *environment);

/* Returns how many bytes the heap may have where the process may have `limit` bytes of address
 * space, and has `taken` for other things. */
size_t shim_bytes_within(size_t limit, size_t taken);

/* Returns whether memcheck is told of each object. A hardened process is not watched: its measures
 * touch what was freed. */
static inline bool shim_is_watched(void)
{
    return memcheck_is_there && hard_measures == 0;
}

/* Opens a thread cache for the calling thread if it has none. Returns whether it has one now. */
bool shim_ensure_tcache(void);

#endif

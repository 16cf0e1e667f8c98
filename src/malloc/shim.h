/* SPDX-License-Identifier: MIT
 *
 * shim.h - what the C functions (malloc.c) and the C++ operators (new.c) share: taking and freeing
 * one object on the fast path, and the slow paths behind it.
 */
#ifndef SHIM_H
#define SHIM_H

#include "malloc/call.h"
#include "slots/tcache.h"

/* The calling thread's two words of thread-local memory (slots/thread.h). */
extern THREAD_LOCAL struct thread shim_thread;

/* The slow paths of shim_take and shim_free; and what is due after a free that emptied enough of a
 * span (spans_refile). None of them is inlined, so that the fast paths need no stack frame. */
void *shim_take_slow(size_t nbytes, enum call call);
void shim_free_slow(const void *address, enum call call);
void shim_refile(const void *address);

/* Does what follows a line about an address: prints what the history knows of it, and aborts, as
 * LIBMEM=onerror says. */
void shim_reported(const void *address);

/* Returns a new object of nbytes, which may be 0, or NULL if there is no space. Keeps errno. */
__attribute__((always_inline)) static inline void *shim_take(size_t nbytes, enum call call)
{
    void *object;
    return tcache_take_small(&shim_thread, nbytes, &object) ? object : shim_take_slow(nbytes, call);
}

void *shim_take_aligned_slow(size_t nbytes, size_t align, enum call call);

/* Returns a new object of nbytes at a multiple of align, a power of two; or NULL. Keeps errno. */
__attribute__((always_inline)) static inline void *shim_take_aligned(size_t nbytes, size_t align,
                                                                     enum call call)
{
    void *object;
    return tcache_take_aligned(&shim_thread, nbytes, align, &object)
               ? object
               : shim_take_aligned_slow(nbytes, align, call);
}

/* Frees the object that begins at `address`; does nothing for NULL. A wrong address is reported in
 * the name of `call`, and the program is aborted unless LIBMEM says otherwise. Keeps errno. */
__attribute__((always_inline)) static inline void shim_free(const void *address, enum call call)
{
    enum tcache_freed freed = tcache_free(&shim_thread, address);
    if (freed == TCACHE_FREED_REFILE)
        shim_refile(address);
    else if (freed == TCACHE_NOT_FREED)
        shim_free_slow(address, call);
}

/* The slow paths of the next two. */
void shim_free_sized_slow(const void *address, size_t nbytes, size_t align, enum call call);
void shim_free_aligned_slow(const void *address, size_t align, enum call call);

/* As shim_free, of an object that the caller says to have nbytes, at a multiple of align. If it has
 * not, that is reported, and the program is aborted unless LIBMEM says otherwise [M10]. */
__attribute__((always_inline)) static inline void
shim_free_sized(const void *address, size_t nbytes, size_t align, enum call call)
{
    enum tcache_freed freed = TCACHE_NOT_FREED;
    if (((uintptr_t)address & (align - 1)) == 0)
        freed = tcache_free_sized(&shim_thread, address, nbytes);
    if (freed == TCACHE_FREED_REFILE)
        shim_refile(address);
    else if (freed == TCACHE_NOT_FREED)
        shim_free_sized_slow(address, nbytes, align, call);
}

/* As shim_free, of an object that the caller says to be at a multiple of align [M10]. */
__attribute__((always_inline)) static inline void shim_free_aligned(const void *address,
                                                                    size_t align, enum call call)
{
    if (((uintptr_t)address & (align - 1)) == 0)
        shim_free(address, call);
    else
        shim_free_aligned_slow(address, align, call);
}

#endif

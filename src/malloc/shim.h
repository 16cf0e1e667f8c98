/* SPDX-License-Identifier: MIT
 *
 * shim.h - what the C functions and the C++ operators have in common.
 */
#ifndef SHIM_H
#define SHIM_H

#include "slots/tcache.h"

extern __thread struct thread shim_thread __attribute__((tls_model("initial-exec")));

void *shim_take_slowly(size_t nbytes);
void shim_free_slowly(const void *address, const char *call);
void shim_recount(const void *address);

/* A new object of nbytes, which may be 0; or NULL. Leaves errno alone. */
__attribute__((always_inline)) static inline void *shim_take(size_t nbytes)
{
    void *object;
    return cache_take_small(&shim_thread, nbytes, &object) ? object : shim_take_slowly(nbytes);
}

/* The same at a multiple of align, a power of two. */
void *shim_take_aligned_slowly(size_t nbytes, size_t align);
__attribute__((always_inline)) static inline void *shim_take_aligned(size_t nbytes, size_t align)
{
    void *object;
    return cache_take_aligned(&shim_thread, nbytes, align, &object)
               ? object
               : shim_take_aligned_slowly(nbytes, align);
}

/* Frees the object that begins at `address`; NULL is none. What it refuses it reports
 * in the name of the call, and aborts, as LIBMEM says. Leaves errno alone. */
__attribute__((always_inline)) static inline void shim_free(const void *address, const char *call)
{
    enum cache_freed freed = cache_free(&shim_thread, address);
    if (freed == CACHE_FREED_RECOUNT)
        shim_recount(address);
    else if (freed == CACHE_NOT_FREED)
        shim_free_slowly(address, call);
}

#endif

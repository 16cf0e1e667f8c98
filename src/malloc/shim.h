/* SPDX-License-Identifier: MIT
 *
 * shim.h - what the C functions and the C++ operators have in common.
 */
#ifndef SHIM_H
#define SHIM_H

#include "slots/tcache.h"

extern __thread struct thread shim_thread __attribute__((tls_model("initial-exec")));

void *shim_take_slow(size_t nbytes);
void shim_free_slow(const void *address, const char *call);
void shim_refile(const void *address);

/* A new object of nbytes, which may be 0; or NULL. Leaves errno alone. */
__attribute__((always_inline)) static inline void *shim_take(size_t nbytes)
{
    void *object;
    return tcache_take_small(&shim_thread, nbytes, &object) ? object : shim_take_slow(nbytes);
}

/* The same at a multiple of align, a power of two. */
void *shim_take_aligned_slow(size_t nbytes, size_t align);
__attribute__((always_inline)) static inline void *shim_take_aligned(size_t nbytes, size_t align)
{
    void *object;
    return tcache_take_aligned(&shim_thread, nbytes, align, &object)
               ? object
               : shim_take_aligned_slow(nbytes, align);
}

/* Frees the object that begins at `address`; NULL is none. What it refuses it reports
 * in the name of the call, and aborts, as LIBMEM says. Leaves errno alone. */
__attribute__((always_inline)) static inline void shim_free(const void *address, const char *call)
{
    enum tcache_freed freed = tcache_free(&shim_thread, address);
    if (freed == TCACHE_FREED_REFILE)
        shim_refile(address);
    else if (freed == TCACHE_NOT_FREED)
        shim_free_slow(address, call);
}

#endif

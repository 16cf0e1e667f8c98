/* SPDX-License-Identifier: MIT
 *
 * shim.h - what the C functions and the C++ operators have in common.
 */
#ifndef SHIM_H
#define SHIM_H

#include "../src/base.h"

/* A new object of nbytes, which may be 0, at a multiple of align, a power of two;
 * or NULL. Leaves errno alone. */
void *shim_take(size_t nbytes, size_t align);

/* Frees the object that begins at `address`; NULL is none. What it refuses it reports
 * in the name of the call, and aborts, as LIBMEM says. Leaves errno alone. */
void shim_free(const char *call, const void *address);

#endif

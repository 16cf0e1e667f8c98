/* SPDX-License-Identifier: MIT
 *
 * base.h - what every file may take for granted: types, units, a few small functions.
 *
 * The library counts in two units, and a name says in which one:
 *   bytes      what a caller counts in                      nbytes, size
 *   granules   16 bytes, what the ledger counts in          ngranules, start, length
 * A granule is a position or a length within one region, never an address: the
 * records of a heap hold no pointer.
 *
 * Beside it: bits.h (masks and counts of bits), seqcount.h (reading what another thread
 * may be changing), region.h (the memory of a heap), os.h (system calls).
 */
#ifndef BASE_H
#define BASE_H

/* A region can be larger than 4 GiB, and masks are words of 64 bits. */
#if __SIZEOF_POINTER__ != 8
#error "libmem needs a 64-bit processor"
#endif

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GRANULE_BYTES 16u

/* How much debug builds check, beside NDEBUG: with 2 a heap checks itself as a whole every now
 * and then (heap_unlock). make debug does so. */
#ifndef MEM_DEBUG
#define MEM_DEBUG 0
#endif

/* All symbols are hidden, except those that are declared with MEM_API. */
#define MEM_API __attribute__((visibility("default")))

/* A function with a fast path begins where a cache line does, so that its time does not depend on
 * where the linker puts it. */
#define ALIGNED_TO_LINE __attribute__((aligned(64)))

/* A variable that each thread has its own of, in the memory that a thread starts with: to reach it
 * takes neither a call nor memory, so that a signal handler may. */
#define THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))

/* RACING marks a function that reads what other threads may be writing, and finds out afterwards.
 * Until then what it reads may have become an object that was freed (poison.h), so
 * AddressSanitizer leaves it unchecked. So does ThreadSanitizer, which does not see that a load of
 * eight bytes follows a store to one of them, nor what a fence orders; where that is not enough,
 * the code under it takes another path (UNDER_TSAN). */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { UNDER_TSAN = 1 };
#define RACING __attribute__((no_sanitize_thread))
#else
enum { UNDER_TSAN = 0 };
#define RACING __attribute__((no_sanitize_address))
#endif

/* n / unit, rounded up; unit > 0. The sum n + unit - 1 could wrap, so it is not used. */
static inline size_t ceil_div(size_t n, size_t unit)
{
    assert(unit > 0);
    return n / unit + (n % unit != 0);
}

static inline unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* The smaller and the larger of two sizes or offsets. */
static inline size_t smaller_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t larger_of(size_t a, size_t b)
{
    return a > b ? a : b;
}

static inline bool is_power_of_two(size_t n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * base.h - what every file may take for granted: types, units, a few words.
 *
 * The units of the library, and the suffix that a name carries for each:
 *   bytes      what a caller counts in                      nbytes, size
 *   granules   16 bytes; what the ledger counts in          ngranules, start
 * A granule is a position or a length within one region, never an address: the
 * records of a heap hold no pointer.
 */
#ifndef BASE_H
#define BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GRANULE_BYTES 16u

/* ThreadSanitizer does not see that a load of eight bytes follows a store to one. */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { UNDER_TSAN = 1 };
#else
enum { UNDER_TSAN = 0 };
#endif

/* All symbols are hidden but these. */
#define MEM_API __attribute__((visibility("default")))

static inline size_t ceil_div(size_t n, size_t unit)
{
    return n / unit + (n % unit != 0); /* not (n + unit - 1) / unit: that wraps */
}

static inline unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

#endif

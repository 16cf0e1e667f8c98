/* SPDX-License-Identifier: MIT
 *
 * own_heaps.h - for the tests of the promises of mem_heap.h: a buffer for heaps, and assertions on
 * results.
 */
#ifndef OWN_HEAPS_H
#define OWN_HEAPS_H

#include "unit.h"

#include <string.h>

#include "mem_heap.h"

enum { MIB = 1 << 20, LARGE = 24 * MIB };
static _Alignas(4096) unsigned char memory[LARGE];

#define assert_ok(call) assert_int_equal((call), MEM_OK)

#define assert_null_for(why, call)                                                                 \
    do {                                                                                           \
        assert_null(call);                                                                         \
        assert_int_equal(mem_last_error(), why);                                                   \
    } while (0)

#endif

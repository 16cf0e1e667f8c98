/* SPDX-License-Identifier: MIT
 *
 * decode.h - turns a trace (tools/trace.h) into the calls that each thread of a replay makes.
 *
 * The replay has as many threads as the trace, up to MOST_THREADS. Thread n of the trace is
 * thread n modulo MOST_THREADS of the replay. An object has an index in the table of the thread
 * that works with it; a table is as long as the greatest number of objects in it at a time.
 *
 *     P1  Each thread makes its own calls, in their order, on its own table of objects.
 *     P2  An object that another thread goes on with is handed over in a box, which serves
 *         nothing else. GIVE moves the object there right after the last call of the one
 *         thread. TAKE waits until it is there, and moves it to the table of the other thread.
 *     P3  What a thread waits for comes before its own next call in the trace. Therefore the
 *         threads do not wait for each other in a circle.
 */
#ifndef DECODE_H
#define DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "../../tools/trace.h"

enum { MOST_THREADS = 8, SLOT_BITS = 24, MOST_SLOTS = 1 << SLOT_BITS };

/* What a thread does besides the calls of the trace, which have the smaller numbers. */
enum { GIVE = TRACE_REALLOC + 1, TAKE };

struct call {
    uint32_t number; /* of bytes; GIVE and TAKE: of the box */
    uint32_t event : 3, log2_alignment : 5, slot : SLOT_BITS;
};
_Static_assert(sizeof(struct call) == 8, "calls compete with objects for the cache");

/* What one thread of the replay does. */
struct part {
    struct call *calls;
    size_t ncalls; /* with GIVE and TAKE */
    size_t nslots; /* of its table of objects */
};

struct trace {
    struct part parts[MOST_THREADS];
    size_t nparts;
    size_t nthreads; /* in the recorded program */
    size_t ncalls;   /* of all threads, without GIVE and TAKE */
    size_t nboxes;
    size_t most_live; /* the greatest number of objects at a time */
};

/* Reads a trace. Ends the program if it is damaged. */
struct trace trace_load(const char *file);

#endif

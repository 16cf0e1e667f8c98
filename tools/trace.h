/* SPDX-License-Identifier: MIT
 *
 * trace.h - the format of a trace: a file with the calls of malloc and its relatives that a
 * program made. tools/record.c writes it; bench/work/replay.c reads it.
 *
 *     "libmem trace 1\n"  event event ...
 *
 *     event      numbers                  of
 *     MALLOC     size                     malloc
 *     CALLOC     size                     calloc: the product
 *     ALIGNED    size, log2 alignment     posix_memalign and its relatives
 *     FREE       age                      free
 *     REALLOC    age, new size            realloc of an object, which keeps its number
 *     THREAD     thread                   none: this thread makes the calls that follow
 *
 * The first number of an event is written as number * 8 + event. A number is a sequence of
 * bytes with seven bits each, the lowest bits first; the eighth bit of a byte is set if
 * another byte follows (LEB128). Objects are numbered in the order of their allocation. The
 * age of an object is the number of objects that were allocated after it. An object that is
 * freed soon therefore has a small age, and a program that repeats itself makes a trace that
 * repeats itself and compresses well. Threads are numbered in the order of their first calls,
 * and thread 0 makes the calls before the first THREAD.
 *
 * A trace does not record calls that failed, free(NULL), times, and the ends of threads.
 */
#ifndef TRACE_H
#define TRACE_H

#define TRACE_MAGIC "libmem trace 1\n"

enum trace_event {
    TRACE_MALLOC,
    TRACE_CALLOC,
    TRACE_ALIGNED,
    TRACE_FREE,
    TRACE_REALLOC,
    TRACE_THREAD
};

enum { TRACE_EVENT_BITS = 3, TRACE_MOST_BYTES = 20 /* of an event: two numbers */ };

#endif

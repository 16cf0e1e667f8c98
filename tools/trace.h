/* SPDX-License-Identifier: MIT
 *
 * trace.h - what a program asked of malloc, in a file: written by tools/record.c,
 * read by bench/work/replay.c.
 *
 *     "libmem trace 1\n"  event event ...
 *
 *     event      numbers                  of
 *     MALLOC     size                     malloc
 *     CALLOC     size                     calloc: the product
 *     ALIGNED    size, log2 alignment     posix_memalign and its relatives
 *     FREE       age                      free
 *     REALLOC    age, new size            realloc of an object, which keeps its number
 *
 * An event's first number comes as number * 8 + event. Numbers are little-endian groups
 * of seven bits; the eighth says that another follows. Objects are numbered as they come;
 * an age counts from the youngest, which is 0. So a short life is a short number, and
 * programs that repeat themselves make files that repeat themselves and pack well.
 *
 * Not recorded: which thread called, calls that failed, free(NULL), how long it took.
 */
#ifndef TRACE_H
#define TRACE_H

#define TRACE_MAGIC "libmem trace 1\n"

enum trace_event { TRACE_MALLOC, TRACE_CALLOC, TRACE_ALIGNED, TRACE_FREE, TRACE_REALLOC };

enum { TRACE_EVENT_BITS = 3, TRACE_MOST_BYTES = 20 /* of an event: two numbers */ };

#endif

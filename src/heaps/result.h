/* SPDX-License-Identifier: MIT
 *
 * result.h - what the inside says of a call is told to the caller: enum mem_result.
 *
 * Each call of mem_heap.h that fails leaves its result for mem_last_error, except mem_find.
 */
#ifndef RESULT_H
#define RESULT_H

#include "mem_heap.h"
#include "core/heap.h"
#include "core/pieces.h"
#include "core/lookup.h"

extern THREAD_LOCAL enum mem_result result_last_error;

/* Notes a failure for mem_last_error; a success leaves that alone. Returns its argument. */
static inline enum mem_result result_set(enum mem_result result)
{
    assert((unsigned)result <= MEM_FOREIGN);
    if (result != MEM_OK)
        result_last_error = result;
    return result;
}

/* Notes why a call that returns a pointer has failed. Returns NULL. */
static inline void *result_null(enum mem_result why)
{
    assert(why != MEM_OK);
    result_set(why);
    return NULL;
}

/* Returns what a result of core/heap.h, or of a lookup, is to a caller. Notes nothing. */
enum mem_result result_of_heap(enum heap_result result);

/* What a lookup in `heap` has found is to a caller: MEM_OK, and *found, if it is an object or free
 * memory; else why not. Notes nothing. */
enum mem_result result_of_lookup(enum heap_result what, const struct lookup_result *p,
                                 mem_heap *heap, struct mem_piece *found);

/* What a piece of `heap` is to a visitor: the slack of an object is not shown. */
struct mem_piece result_of_piece(const struct piece *p, mem_heap *heap);

/* What a tally says is to a caller: all counts of *s. Its region_bytes are set. */
void result_of_tally(const struct pieces_tally *t, struct mem_statistics *s);

#endif

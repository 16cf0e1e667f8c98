/* SPDX-License-Identifier: MIT
 *
 * result.c - the results of mem_heap.h: each one's text, the last one of each thread, and what the
 * results of the inside are to callers. How failures are told: result.h.
 *
 *     inside     enum heap_result      what core/heap.c and the lookups find; struct piece, tallies
 *     outside    enum mem_result       what a caller is told; mem_piece, mem_statistics
 *
 * The two enums are apart because they say different things: inside, an address in the header is
 * outside the region; a lookup may have to be repeated; and there are failures that only the
 * classic heap has. Outside there are failures of which core/heap.c knows nothing: limits,
 * versions, options.
 */
#include "heaps/result.h"

/* --- errors ----------------------------------------------------------------------- */

THREAD_LOCAL enum mem_result result_last_error;

MEM_API enum mem_result mem_last_error(void)
{
    return result_last_error;
}

/* A result that does not exist has a text, too: the caller may have read it from anywhere. */
MEM_API const char *mem_strerror(enum mem_result result)
{
    static const char *const text[] = {
        [MEM_OK] = "no error",
        [MEM_NO_HEAP] = "there is no heap at that address",
        [MEM_BUSY] = "the heap is being walked by the caller, is changing, or is attached already",
        [MEM_BAD_SIZE] = "too small for a heap, or for the heap in the buffer",
        [MEM_BAD_BUFFER] =
            "the buffer is NULL, not aligned to 16, or not where its heap can be; or there is none",
        [MEM_BAD_OPTIONS] = "an option that does not exist, or is not possible for this heap",
        [MEM_BAD_ALIGNMENT] = "the alignment is no power of two",
        [MEM_BAD_STYLE] =
            "a placement style that does not exist, or is not possible with this alignment",
        [MEM_TOO_LARGE] = "larger than such a heap, or an object in this one, can be",
        [MEM_NO_MEMORY] = "the system refuses the mapping",
        [MEM_NO_SPACE] = "no free chunk can hold the object",
        [MEM_OVER_LIMIT] = "it would be more than the limit of the heap",
        [MEM_NOT_OURS] = "the address is outside the heap",
        [MEM_NO_OBJECT] = "the address is in the heap, but in no object",
        [MEM_FREE] = "the address is in free memory",
        [MEM_INSIDE] = "the address is inside an object, but not its start",
        [MEM_BAD_VERSION] = "another version of the library has made the heap",
        [MEM_DAMAGED] = "the heap's own data have been written to",
        [MEM_FOREIGN] = "the heap is malloc's or Mem_Init's, and this call is not for it",
    };
    size_t n = sizeof text / sizeof text[0];
    return (size_t)result < n ? text[result] : "no result of a heap";
}

/* --- from the inside to the caller --------------------------------------------------- */

/* HEAP_INSIDE is for callers that need an object's start; HEAP_NO_REGION and HEAP_LIST_DAMAGED are
 * of the classic heap, and here can only come from overwritten data. */
enum mem_result result_of_heap(enum heap_result result)
{
    switch (result) {
    case HEAP_OK:
        return MEM_OK;
    case HEAP_NO_SPACE:
        return MEM_NO_SPACE;
    case HEAP_NOT_OURS:
        return MEM_NOT_OURS;
    case HEAP_NO_OBJECT:
    case HEAP_NOT_A_SLOT:
        return MEM_NO_OBJECT;
    case HEAP_FREE:
        return MEM_FREE;
    case HEAP_INSIDE:
        return MEM_INSIDE;
    case HEAP_CHANGING:
        return MEM_BUSY;
    case HEAP_NO_REGION:
    case HEAP_LIST_DAMAGED:
    case HEAP_DAMAGED:
        break;
    }
    return MEM_DAMAGED;
}

/* Of free memory it is the whole chunk or slot that is told, whichever address in it was asked
 * for. */
enum mem_result result_of_lookup(enum heap_result what, const struct lookup_result *p,
                                 mem_heap *heap, struct mem_piece *found)
{
    if (what != HEAP_OK && what != HEAP_FREE)
        return result_of_heap(what);
    *found = (struct mem_piece){p->start, p->size, what == HEAP_OK, heap};
    return MEM_OK;
}

struct mem_piece result_of_piece(const struct piece *p, mem_heap *heap)
{
    assert(p->kind != PIECE_METADATA);
    bool live = p->kind == PIECE_OBJECT;
    return (struct mem_piece){p->start, live ? p->size : p->nbytes, live, heap};
}

/* Metadata is what is neither object nor free: header, records, what spans need, guard pages, and
 * the gap that the records may need. */
void result_of_tally(const struct pieces_tally *t, struct mem_statistics *s)
{
    s->live_objects = t->nobjects;
    s->live_bytes = t->object_bytes;
    s->slack_bytes = t->slack_bytes;
    s->free_chunks = tally_nfree(t);
    s->free_bytes = tally_free_bytes(t);
    s->largest_free = t->largest_free;
    s->metadata_bytes = s->region_bytes - s->live_bytes - s->slack_bytes - s->free_bytes;
}

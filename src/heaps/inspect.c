/* SPDX-License-Identifier: MIT
 *
 * inspect.c - mem_walk, mem_stats and mem_check: a heap seen from end to end, in a session. Nothing
 * that is overwritten makes a walk leave the heap or go on for ever (ledger.h, LG5).
 *
 * All three go from part to part, and in each from piece to piece: from the region's begin, by the
 * record of each chunk or the states of each span, to the end of the tail. A piece that is not
 * where the last one ended is damage: the walk stops there, and the call says so.
 *
 * mem_check does more than count. It verifies what a call verifies, then what no call can afford:
 * all records and their order, all states and counts of spans; and last the header's counts of
 * objects against the recount, as each could be right by itself. In a heap with spans the other two
 * do all that first, since a walk follows what stands in the page map.
 */
#include "heaps/inspect.h"

#include "base/os.h"
#include "base/seqcount.h"
#include "core/pieces.h"
#include "heaps/foreign.h"
#include "heaps/hcache.h"
#include "heaps/header.h"
#include "heaps/parts.h"
#include "heaps/result.h"
#include "ledger/ledger.h"

/* --- counting --------------------------------------------------------------------- */

/* Counts what is in all parts. Returns false if a ledger is damaged. */
static bool count_pieces(struct session *v, struct mem_statistics *s)
{
    struct pieces_tally t = {0};
    bool whole = true;
    for (size_t i = 0; whole && session_part(v, i); i++)
        whole = tally_heap_locked(&t, v->h);
    *s = (struct mem_statistics){.region_bytes = v->m->nbytes, .peak_bytes = v->m->peak_bytes};
    s->limit = header_limit(v->m);
    result_of_tally(&t, s);
    return whole;
}

/* --- checking --------------------------------------------------------------------- */

/* Returns whether the struct heap of the session's part has the numbers that a new one has, as far
 * as they never change. Of a heap without spans it was just made. */
static bool part_has_constants(const struct session *v, size_t part)
{
    struct heap like;
    if (!v->m->has_spans || v->h == &v->view)
        return true;
    parts_make(v->m, part, &like);
    return heap_has_constants_of(v->h, &like);
}

/* Checks each part, and counts what is in it. The numbers that never change come first: what bounds
 * each step of the check follows from them. */
static const char *fault_in_parts(struct session *v, struct recount *all)
{
    *all = (struct recount){0};
    for (size_t i = 0; session_part(v, i); i++) {
        struct recount n;
        if (!part_has_constants(v, i))
            return "the numbers of the heap that never change have been written to";
        const char *wrong = check_fault_locked(v->h, &n);
        if (wrong != NULL)
            return wrong;
        if (!spans_rest_is_clear(&v->h->spans))
            return "the map of the slices says something of memory that was never used";
        all->nobjects += n.nobjects;
        all->object_bytes += n.object_bytes;
    }
    return NULL;
}

const char *inspect_count_fault(const mem_heap *m, const struct recount *n)
{
    bool agrees = (uint32_t)n->nobjects == m->nlive && n->object_bytes == m->live_bytes && /* HD3 */
                  m->peak_bytes >= m->live_bytes;
    return agrees ? NULL : "there are other objects than the header counts";
}

/* In this order, since each check relies on what the ones before have found whole. The constants of
 * the header were verified before the session was opened. */
const char *inspect_fault(struct session *v)
{
    const mem_heap *m = v->m;
    struct recount n;
    if (!header_is_possible(m))
        return "the header is that of no heap";
    if (header_has_parts(m) && header_nopen(m) > parts_count(m))
        return "the heap has more parts than its size allows";
    const char *wrong = session_numbers_fault(v);
    if (wrong == NULL)
        wrong = fault_in_parts(v, &n);
    if (wrong == NULL && header_has_hcache(m) &&
        !hcache_is_valid(header_hcache(m), v->h, hcache_bytes(m->nbytes)))
        wrong = "the spans at hand are others than those in use";
    return wrong != NULL ? wrong : inspect_count_fault(m, &n);
}

/* Closes the windows of a heap with an hcache, which then keeps no empty span: so free memory is in
 * one piece, whatever small objects came and went [HC3]. */
static void close_windows(const struct session *v)
{
    if (!header_has_hcache(v->m))
        return;
    change_begin(&v->m->changes);
    hcache_close(header_hcache(v->m), v->h);
    change_end(&v->m->changes);
}

/* Opens a session that goes from piece to piece. What a heap without spans has written over it
 * leads no walk astray [LG5]; one with spans is checked first. */
static enum mem_result open_to_read(mem_heap *m, struct session *v)
{
    enum mem_result result = session_open(m, v);
    if (result != MEM_OK)
        return result;
    if (m->has_spans && inspect_fault(v) != NULL) {
        session_close(v);
        return result_set(MEM_DAMAGED);
    }
    session_part(v, 0);
    close_windows(v);
    return MEM_OK;
}

/* --- the calls -------------------------------------------------------------------- */

/* Shows the pieces of the session's part. Returns false if `visit` did, or if *result
 * says what is wrong. */
static bool walk_part(const struct session *v, mem_visitor visit, void *context,
                      enum mem_result *result)
{
    struct piece p;
    size_t at = 0;
    for (; heap_piece_locked(v->h, at, &p); at += p.nbytes) {
        if (p.kind == PIECE_METADATA)
            continue;
        struct mem_piece piece = result_of_piece(&p, v->m);
        if (!visit(&piece, context))
            return false;
    }
    *result = heap_ends_locked(v->h, at) ? MEM_OK : MEM_DAMAGED;
    return *result == MEM_OK;
}

/* The header names the thread while its visitor runs: so the visitor's calls for the heap are
 * refused, and do not wait for the lock that this one holds. */
MEM_API enum mem_result mem_walk(mem_heap *heap, mem_visitor visit, void *context)
{
    struct session v;
    struct heap *foreign = foreign_heap(heap);
    if (foreign != NULL)
        return result_set(foreign_walk(foreign, heap, visit, context));
    enum mem_result result = open_to_read(heap, &v);
    if (result != MEM_OK)
        return result;
    __atomic_store_n(&heap->walker, os_thread_pointer(), __ATOMIC_RELAXED);
    for (size_t i = 0; session_part(&v, i) && walk_part(&v, visit, context, &result);)
        i++;
    __atomic_store_n(&heap->walker, NULL, __ATOMIC_RELAXED);
    session_close(&v);
    return result_set(result);
}

/* *stats is written only if all could be counted. */
MEM_API enum mem_result mem_stats(mem_heap *heap, struct mem_statistics *stats)
{
    struct session v;
    struct mem_statistics s;
    struct heap *foreign = foreign_heap(heap);
    if (foreign != NULL)
        return result_set(foreign_stats(foreign, stats));
    enum mem_result result = open_to_read(heap, &v);
    if (result != MEM_OK)
        return result;
    if (count_pieces(&v, &s)) {
        s.resident_bytes = parts_resident_bytes(heap);
        *stats = s;
    } else {
        result = MEM_DAMAGED;
    }
    session_close(&v);
    return result_set(result);
}

/* *wrong is written whatever the result is. */
MEM_API enum mem_result mem_check(mem_heap *heap, const char **wrong)
{
    struct session v;
    const char *what = "the header has been written to";
    struct heap *foreign = foreign_heap(heap);
    if (foreign != NULL)
        return result_set(foreign_check(foreign, wrong));
    enum mem_result result = session_verify(heap);
    if (result == MEM_NO_HEAP)
        what = mem_strerror(MEM_NO_HEAP);
    if (result == MEM_OK && (result = session_open(heap, &v)) == MEM_OK) {
        what = inspect_fault(&v);
        result = what == NULL ? MEM_OK : MEM_DAMAGED;
        session_close(&v);
    } else if (result == MEM_BUSY) {
        what = mem_strerror(MEM_BUSY);
    }
    if (wrong != NULL)
        *wrong = what;
    return result_set(result);
}

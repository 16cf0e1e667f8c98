/* SPDX-License-Identifier: MIT */
#include "heaps/inspect.h"

#include "core/pieces.h"
#include "base/os.h"

/* What has been counted, as callers know it. Metadata is whatever is neither an object nor free:
 * spans' own slots, the ledger, and the gap below it. */
static void set_tallied(struct mem_statistics *s, const struct pieces_tally *t)
{
    s->live_objects = t->nobjects;
    s->live_bytes = t->object_bytes;
    s->slack_bytes = t->slack_bytes;
    s->free_chunks = tally_nfree(t);
    s->free_bytes = tally_free_bytes(t);
    s->largest_free = t->largest_free;
    s->metadata_bytes = s->region_bytes - s->live_bytes - s->slack_bytes - s->free_bytes;
}

/* Tallies all parts. Returns false if a ledger is damaged. */
static bool count(struct session *v, struct mem_statistics *s)
{
    struct pieces_tally t = {0};
    bool whole = true;
    for (size_t i = 0; whole && session_part(v, i); i++)
        whole = tally_heap_locked(&t, v->h);
    *s = (struct mem_statistics){.region_bytes = v->m->nbytes, .peak_bytes = v->m->peak_bytes};
    s->limit = header_limit(v->m);
    set_tallied(s, &t);
    return whole;
}

static enum mem_result count_foreign(struct heap *h, struct mem_statistics *stats)
{
    struct pieces_tally t = {0};
    heap_lock(h);
    struct mem_statistics s = {.region_bytes = h->chunks.region.nbytes};
    s.peak_bytes = h->counters == NULL ? 0 : h->counters->live_bytes_peak;
    bool whole = tally_heap_locked(&t, h);
    heap_unlock(h);
    if (!whole)
        return MEM_DAMAGED;
    set_tallied(&s, &t);
    s.resident_bytes = os_resident_bytes(h->chunks.region.base, s.region_bytes);
    *stats = s;
    return MEM_OK;
}

static enum mem_result check_foreign(struct heap *h, const char **wrong)
{
    heap_lock(h);
    const char *what = check_fault_locked(h);
    heap_unlock(h);
    if (wrong != NULL)
        *wrong = what;
    return what == NULL ? MEM_OK : MEM_DAMAGED;
}

static const char *fault_in_parts(struct session *v)
{
    const char *wrong = NULL;
    for (size_t i = 0; wrong == NULL && session_part(v, i); i++) {
        if (!ledger_is_sane(&v->h->chunks.ledger))
            return "the numbers of the ledger cannot be";
        wrong = check_fault_locked(v->h);
    }
    return wrong;
}

const char *inspect_fault(struct session *v)
{
    struct mem_statistics s;
    const char *wrong = session_numbers_fault(v);
    if (wrong == NULL && !header_extras_are_whole(v->m))
        wrong = "the limit or the callbacks have been written to";
    if (wrong == NULL)
        wrong = fault_in_parts(v);
    if (wrong == NULL && header_has_hcache(v->m) && !hcache_is_valid(header_hcache(v->m), v->h))
        wrong = "the spans at hand are others than those in use";
    if (wrong == NULL && (!count(v, &s) || (uint32_t)s.live_objects != v->m->nlive ||
                          s.live_bytes != v->m->live_bytes)) /* HD3 */
        wrong = "there are other objects than the header counts";
    return wrong;
}

/* So that free memory is in one piece, whatever small objects came and went. */
static void close_windows(const struct session *v)
{
    if (!header_has_hcache(v->m))
        return;
    change_begin(&v->m->changes);
    hcache_close(header_hcache(v->m), v->h);
    change_end(&v->m->changes);
}

/* --- the calls -------------------------------------------------------------------- */

/* False: `visit` does not want more, or *result says what is wrong. */
static bool walk_part(const struct session *v, mem_visitor visit, void *context,
                      enum mem_result *result)
{
    struct piece p;
    size_t at = 0;
    for (; heap_piece_locked(v->h, at, &p); at += p.nbytes) {
        bool live = p.kind == PIECE_OBJECT;
        struct mem_piece piece = {p.start, live ? p.size : p.nbytes, live, v->m};
        if (p.kind != PIECE_METADATA && !visit(&piece, context))
            return false;
    }
    *result = heap_ends_locked(v->h, at) ? MEM_OK : MEM_DAMAGED;
    return *result == MEM_OK;
}

MEM_API enum mem_result mem_walk(mem_heap *heap, mem_visitor visit, void *context)
{
    struct session v;
    struct heap *foreign = foreign_heap(heap);
    if (foreign != NULL)
        return result_set(foreign_walk(foreign, heap, visit, context));
    enum mem_result result = session_open(heap, &v);
    if (result != MEM_OK)
        return result;
    close_windows(&v);
    heap->is_walked = true;
    for (size_t i = 0; session_part(&v, i) && walk_part(&v, visit, context, &result);)
        i++;
    heap->is_walked = false;
    session_close(&v);
    return result_set(result);
}

MEM_API enum mem_result mem_stats(mem_heap *heap, struct mem_statistics *stats)
{
    struct session v;
    struct mem_statistics s;
    struct heap *foreign = foreign_heap(heap);
    if (foreign != NULL)
        return result_set(count_foreign(foreign, stats));
    enum mem_result result = session_open(heap, &v);
    if (result != MEM_OK)
        return result;
    close_windows(&v);
    if (count(&v, &s)) {
        s.resident_bytes = parts_resident_bytes(heap);
        *stats = s;
    } else {
        result = MEM_DAMAGED;
    }
    session_close(&v);
    return result_set(result);
}

MEM_API enum mem_result mem_check(mem_heap *heap, const char **wrong)
{
    struct session v;
    const char *what = "the header has been written to";
    struct heap *foreign = foreign_heap(heap);
    if (foreign != NULL)
        return result_set(check_foreign(foreign, wrong));
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

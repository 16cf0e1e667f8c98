/* SPDX-License-Identifier: MIT
 *
 * objects.c - objects taken, freed and resized in the slow way: each call is a session that judges
 * what is asked, and has core/heap.c do it. The ways in and down: objects.h; what lies where:
 * header.h; the promises: mem_heap.h.
 *
 *     open_to_change    the header, the lock, the numbers; with MEM_CHECK_CALLS everything
 *       judge           too large, over the limit, no object: nothing was changed so far
 *       change          core/heap.c places, frees, resizes; count; fill
 *     session_close
 *     callbacks         on_exhausted, on_refused: outside the session, so that they may call again
 *
 * What fails changes nothing that a caller can see, though windows may have been closed and parts
 * opened. The callbacks are called only if the extras are whole: a jump to an overwritten address
 * would be worse than no callback.
 */
#include "heaps/objects.h"

#include "base/base.h"
#include "base/probe.h"
#include "core/heap.h"
#include "core/watch.h"
#include "heaps/find.h"
#include "heaps/guard.h"
#include "heaps/hcache.h"
#include "heaps/header.h"
#include "heaps/inspect.h"
#include "heaps/result.h"
#include "heaps/session.h"

/* Tells memcheck of a change that may be in any part. Ends at part 0, where the session begins. */
__attribute__((noinline, cold)) static void watch_parts(struct session *v)
{
    size_t nparts = header_has_parts(v->m) ? header_nopen(v->m) : 1;
    for (size_t i = nparts; i > 0 && session_part(v, i - 1); i--)
        watch_change(v->h);
}

/* Opens a session that may change the heap, in any part. With MEM_CHECK_CALLS the whole heap is
 * checked before. Fails, with the error noted and nothing to be closed, as session_open does. */
static enum mem_result open_to_change(mem_heap *m, struct session *v)
{
    enum mem_result result = session_open(m, v);
    if (result != MEM_OK)
        return result;
    if ((m->flags & MEM_CHECK_CALLS) != 0 && inspect_fault(v) != NULL) {
        session_close(v);
        return result_set(MEM_DAMAGED);
    }
    session_begin_change(v);
    if (memcheck_is_there)
        watch_parts(v);
    return MEM_OK;
}

/* --- taking ---------------------------------------------------------------- */

/* Returns whether no object can have that size, since it lies in one part [HD7]. */
static bool is_above_maximum(const mem_heap *m, size_t size)
{
    return size > m->nbytes || size > PART_BYTES;
}

/* Returns whether the objects would be more than the limit if one of `old` bytes became one of
 * `size`. None of the sums can wrap. An object that shrinks is never too much. */
static bool is_over_limit(const mem_heap *m, size_t size, size_t old)
{
    size_t limit = header_limit(m);
    size_t others = m->live_bytes - old;
    return limit > 0 && size > old && (others > limit || size > limit - others);
}

/* Moves the guard if it alone was in the way of the last call. Returns whether to try again. */
static bool make_way(const struct session *v)
{
    struct chunks *c = &v->h->chunks;
    return guard_move(&c->region, &c->ledger);
}

/* Opens the next part, and goes there, if it has room for an object that found none in the open
 * parts. No later part has more room, since only the last one may differ, which may be shorter.
 * Returns false if there is no such part, or if the system opens no memory for it. If the last open
 * part has room, the system has refused memory there, and would do so in the next one. */
static bool open_part_for(struct session *v, size_t size, size_t align)
{
    if (heap_has_room(v->h, size, align) || !session_part(v, header_nopen(v->m)) ||
        !heap_has_room(v->h, size, align))
        return false;
    struct heap *h = parts_open(v->m);
    if (h == NULL)
        return false;
    v->h = h;
    return true;
}

/* Places an object in the first part that has room. */
static enum heap_result place_in_parts(struct session *v, size_t size, size_t align, enum fit fit,
                                       void **object)
{
    enum heap_result result = HEAP_NO_SPACE;
    size_t nopen = header_nopen(v->m);
    for (size_t i = 0; result == HEAP_NO_SPACE && i < nopen && session_part(v, i); i++)
        result = heap_place_locked(v->h, size, align, fit, object);
    if (result == HEAP_NO_SPACE && open_part_for(v, size, align))
        result = heap_place_locked(v->h, size, align, fit, object);
    return result;
}

/* Places an object in a chunk, or in a slot that is in no window. Only a heap of one part has guard
 * pages. */
static enum heap_result place_chunk(struct session *v, size_t size, size_t align, enum fit fit,
                                    void **object)
{
    assert(is_power_of_two(align) && size <= PART_BYTES);
    if (header_has_parts(v->m))
        return place_in_parts(v, size, align, fit, object);
    enum heap_result result = heap_place_locked(v->h, size, align, fit, object);
    if (result == HEAP_NO_SPACE && make_way(v))
        result = heap_place_locked(v->h, size, align, fit, object);
    return result;
}

/* Places an object apart from others, for memcheck, as long as three quarters of the heap are free:
 * it is to hold about as much as ever. */
__attribute__((noinline, cold)) static bool place_apart(const struct session *v, size_t size,
                                                        size_t align, void **object)
{
    enum { PART = 4 };
    const struct chunks *c = &v->h->chunks;
    return c->ledger.live_granules < c->region.nbytes / GRANULE_BYTES / PART &&
           watch_place_apart(v->h, size, align, object) == HEAP_OK;
}

/* Places an object in a slot of the hcache, if the heap has one and the request allows that. An
 * exact fit sees all free memory, also that of empty spans, and so do requests that find no room:
 * for these the windows are closed [HC3]. */
static enum heap_result place(struct session *v, size_t size, size_t align, enum fit fit,
                              void **object)
{
    struct hcache *q = header_has_hcache(v->m) ? header_hcache(v->m) : NULL;
    if (memcheck_is_there && fit == FIT_ANY && place_apart(v, size, align, object))
        return HEAP_OK;
    if (q != NULL && fit == FIT_ANY && align <= HEAP_ALIGN &&
        (*object = hcache_take_slow(q, v->h, size)) != NULL)
        return HEAP_OK;
    if (q != NULL && fit != FIT_ANY)
        hcache_close(q, v->h);
    enum heap_result result = place_chunk(v, size, align, fit, object);
    if (result != HEAP_NO_SPACE || q == NULL || q->nslices == 0)
        return result;
    hcache_close(q, v->h);
    return place_chunk(v, size, align, fit, object);
}

/* Places, counts and fills an object. The bytes are counted by the caller, which may have to count
 * the difference to another object. */
static enum mem_result session_take(struct session *v, const struct request *w, void **object)
{
    static const enum fit fits[] = {[MEM_ANY_FIT] = FIT_ANY,
                                    [MEM_BEST_FIT] = FIT_BEST,
                                    [MEM_WORST_FIT] = FIT_WORST,
                                    [MEM_FIRST_FIT] = FIT_FIRST};
    assert(v->changes && (unsigned)w->style <= MEM_FIRST_FIT);
    enum heap_result result = place(v, w->size, w->align, fits[w->style], object);
    if (result != HEAP_OK)
        return result_of_heap(result);
    v->m->nlive++;
    object_show(*object, w->size);
    if (memcheck_is_there)
        watch_taken(v->h, *object, w->size);
    if (v->m->flags & MEM_FILL_NEW)
        memset(*object, v->m->fill_new, w->size);
    return MEM_OK;
}

/* One try: a session in which the request is judged, served and counted. The limits come first, so
 * that a request that is refused opens no part and closes no window. */
static enum mem_result try_alloc(mem_heap *m, const struct request *w, void **object)
{
    struct session v;
    enum mem_result result = open_to_change(m, &v);
    if (result != MEM_OK)
        return result;
    if (is_above_maximum(m, w->size))
        result = MEM_TOO_LARGE;
    else if (is_over_limit(m, w->size, 0))
        result = MEM_OVER_LIMIT;
    else
        result = session_take(&v, w, object);
    if (result == MEM_OK)
        header_count_bytes(m, w->size, 0);
    session_close(&v);
    return result;
}

/* Calls on_exhausted, if a request has failed for want of room, and there is one. Returns whether
 * the request is to be tried again. */
static bool ask_for_room(mem_heap *m, enum mem_result result, size_t size)
{
    if (result != MEM_NO_SPACE && result != MEM_OVER_LIMIT)
        return false;
    const struct extras *e = header_extras(m);
    return e != NULL && e->on_exhausted != NULL && e->on_exhausted(m, size, e->context);
}

/* The callback runs between two sessions, and may call for this heap: to free something, say. */
void *object_alloc(mem_heap *m, const struct request *w)
{
    void *object = NULL;
    enum mem_result result;
    do
        result = try_alloc(m, w, &object);
    while (ask_for_room(m, result, w->size));
    assert((result == MEM_OK) == (object != NULL));
    return result == MEM_OK ? object : result_null(result);
}

/* Each object is at a multiple of 16 bytes. Only best fit can be aligned beyond that, so that it
 * stands for the other exact styles, too. */
MEM_API void *mem_aligned(mem_heap *heap, size_t size, size_t align)
{
    if (!is_power_of_two(align))
        return result_null(MEM_BAD_ALIGNMENT);
    if (align <= HEAP_ALIGN)
        return mem_alloc(heap, size);
    enum mem_style style = header_style(heap) == MEM_ANY_FIT ? MEM_ANY_FIT : MEM_BEST_FIT;
    return object_alloc(heap, &(struct request){size, align, style});
}

/* Here the caller has chosen the style, and is told that it does not go with the alignment. */
MEM_API void *mem_alloc_fit(mem_heap *heap, size_t size, size_t align, enum mem_style style)
{
    if (!is_power_of_two(align))
        return result_null(MEM_BAD_ALIGNMENT);
    if ((unsigned)style > MEM_FIRST_FIT ||
        (align > HEAP_ALIGN && style != MEM_ANY_FIT && style != MEM_BEST_FIT))
        return result_null(MEM_BAD_STYLE);
    return object_alloc(heap, &(struct request){size, align, style});
}

/* --- giving back ----------------------------------------------------------- */

/* Calls on_refused, outside the session, and notes the error. */
static enum mem_result refuse_address(mem_heap *m, const void *address, enum mem_result why)
{
    assert(why != MEM_OK);
    PROBE_REFUSED(address);
    const struct extras *e = header_extras(m);
    if (e != NULL && e->on_refused != NULL)
        e->on_refused(m, address, why, e->context);
    return result_set(why);
}

/* Fills what an object has given up, and only then gives pages back to the system: if they were
 * filled afterwards, they would be resident again, and the heap would not know it. The caller holds
 * the lock, so that no other thread can have the memory yet; and objects that are free hold nothing
 * of the heap's own. */
static void fill_and_trim(const struct session *v, unsigned char *from, size_t nbytes)
{
    if (v->m->flags & MEM_FILL_FREED)
        memset(from, v->m->fill_freed, nbytes);
    heap_trim_if_time_locked(v->h);
}

/* No code may touch what was an object. Its memory cannot be another object's before the caller
 * releases the heap's lock. */
static void hide(const struct object *was)
{
    object_hide(was->start, was->size);
    if (memcheck_is_there)
        memcheck_free(was->start, was->size);
}

/* Judges and frees in one step of core/heap.c, then counts and fills. */
static enum mem_result session_free(struct session *v, const void *address, bool exact)
{
    struct object found;
    assert(v->changes && address != NULL);
    session_select(v, address);
    enum mem_result result =
        find_verdict(v, address, heap_free_locked(v->h, address, exact, &found));
    if (result != MEM_OK)
        return result;
    v->m->nlive--;
    header_count_bytes(v->m, 0, found.size);
    fill_and_trim(v, found.start, found.size);
    hide(&found);
    return MEM_OK;
}

/* Also for NULL the heap is looked at, so that a call on a damaged heap fails. */
enum mem_result object_free(mem_heap *m, const void *address, bool exact)
{
    struct session v;
    enum mem_result result = open_to_change(m, &v);
    if (result != MEM_OK)
        return result;
    if (address != NULL)
        result = session_free(&v, address, exact);
    session_close(&v);
    return result == MEM_OK ? MEM_OK : refuse_address(m, address, result);
}

/* --- resizing -------------------------------------------------------------- */

/* Takes an object of the new size, copies, and frees the old one, all in one session: no other
 * thread sees the heap with both or with neither. The caller counts the bytes. The new object may
 * have been placed in another part, so that the session goes back to the old one's. */
static enum mem_result resize_by_moving(struct session *v, const struct object *old, size_t size,
                                        void **object)
{
    const struct request w = {size, 1, (enum mem_style)v->m->style};
    struct object gone;
    enum mem_result result = session_take(v, &w, object);
    if (result != MEM_OK)
        return result;
    memcpy(*object, old->start, smaller_of(old->size, size));
    session_select(v, old->start);
    heap_free_locked(v->h, old->start, true, &gone);
    v->m->nlive--;
    fill_and_trim(v, old->start, old->size);
    hide(old);
    return MEM_OK;
}

/* Gives the object another size where it is, if there is room behind it or the guard can make some;
 * then fills what it gives up, or what it gets. */
static enum mem_result resize_in_place(const struct session *v, const struct object *old,
                                       size_t size)
{
    unsigned char *start = old->start;
    enum heap_result result = heap_resize_locked(v->h, start, size);
    if (result == HEAP_NO_SPACE && make_way(v))
        result = heap_resize_locked(v->h, start, size);
    if (result != HEAP_OK)
        return result_of_heap(result);
    size_t kept = smaller_of(size, old->size);
    fill_and_trim(v, start + kept, old->size - kept);
    object_show_resized(start, old->size, size);
    if (memcheck_is_there)
        watch_resized(v->h, start, old->size, size);
    if (size > old->size && (v->m->flags & MEM_FILL_NEW) != 0)
        memset(start + old->size, v->m->fill_new, size - old->size);
    return MEM_OK;
}

/* In place comes first, even if the object would fit better elsewhere. A move that finds no room
 * has gathered free memory [HP2], also behind the object, which may then fit in place. */
static enum mem_result resize_anywhere(struct session *v, const struct object *old, size_t size,
                                       void **now)
{
    *now = old->start;
    enum mem_result result = resize_in_place(v, old, size);
    if (result == MEM_NO_SPACE)
        result = resize_by_moving(v, old, size, now);
    if (result != MEM_NO_SPACE)
        return result;
    *now = old->start;
    session_select(v, old->start);
    return resize_in_place(v, old, size);
}

/* Judges as try_alloc does. */
static enum mem_result session_resize(struct session *v, const struct object *old, size_t size,
                                      void **now)
{
    mem_heap *m = v->m;
    assert(v->changes);
    if (is_above_maximum(m, size))
        return MEM_TOO_LARGE;
    if (is_over_limit(m, size, old->size))
        return MEM_OVER_LIMIT;
    enum mem_result result = resize_anywhere(v, old, size, now);
    if (result == MEM_OK)
        header_count_bytes(m, size, old->size);
    return result;
}

/* Stores in *refused whether it failed because no object begins there. */
static enum mem_result try_resize(mem_heap *m, void *object, size_t size, bool *refused, void **now)
{
    struct session v;
    struct object old = {0}; /* gcc -O3 does not see that MEM_OK means it is stored */
    enum mem_result result = open_to_change(m, &v);
    if (result != MEM_OK)
        return result;
    session_select(&v, object);
    result = find_verdict(&v, object, heap_find_locked(v.h, object, &old));
    *refused = result != MEM_OK;
    if (result == MEM_OK)
        result = session_resize(&v, &old, size, now);
    session_close(&v);
    return result;
}

void *object_resize(mem_heap *m, void *object, size_t size)
{
    bool refused = false;
    void *now;
    enum mem_result result;
    do
        result = try_resize(m, object, size, &refused, &now);
    while (ask_for_room(m, result, size));
    if (result == MEM_OK)
        return now;
    return result_null(refused ? refuse_address(m, object, result) : result);
}

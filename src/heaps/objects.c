/* SPDX-License-Identifier: MIT
 *
 * mem_heap.c - objects in heaps of the caller's own: taken, resized, given back. The promises
 * are in mem_heap.h, what lies where is in header.h.
 */
#include "heaps/guard.h"
#include "heaps/find.h"
#include "heaps/header.h"
#include "heaps/inspect.h"
#include "heaps/session.h"

/* A visit to change the heap, in any part. With MEM_CHECK_CALLS all of it is looked at before. */
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
    return MEM_OK;
}

/* --- taking ---------------------------------------------------------------- */

/* An object that is asked for. */
struct request {
    size_t size, align;
    enum mem_style style;
};

static void count_live(mem_heap *m, size_t more, size_t less)
{
    m->live_bytes = m->live_bytes + more - less;
    if (m->live_bytes > m->peak_bytes)
        m->peak_bytes = m->live_bytes;
}

/* Larger than any object can be? */
static bool is_too_large(const mem_heap *m, size_t size)
{
    return size > m->nbytes || size > PART_BYTES;
}

/* Would the objects be too much if one of `old` bytes became one of `size`? */
static bool is_over_limit(const mem_heap *m, size_t size, size_t old)
{
    size_t limit = header_limit(m);
    size_t others = m->live_bytes - old;
    return limit > 0 && size > old && (others > limit || size > limit - others);
}

/* Was it only the fence that was in the way of a call, and is it elsewhere now? */
static bool move_guard(const struct session *v)
{
    struct chunks *c = &v->h->chunks;
    return header_has_guards(v->m) && guard_move(&c->region, &c->ledger);
}

static enum heap_result place_in_parts(struct session *v, size_t size, size_t align, enum fit fit,
                                       void **object)
{
    enum heap_result result = HEAP_NO_SPACE;
    for (size_t i = 0; result == HEAP_NO_SPACE && session_open_part(v, i); i++)
        result = heap_place_locked(v->h, size, align, fit, object);
    if (result == HEAP_NO_SPACE && move_guard(v))
        result = heap_place_locked(v->h, size, align, fit, object);
    return result;
}

/* In a slot, if that is possible; or in the first part that has room [HD7]. */
static enum heap_result place(struct session *v, size_t size, size_t align, enum fit fit,
                              void **object)
{
    struct hcache *q = header_has_hcache(v->m) ? header_hcache(v->m) : NULL;
    if (q != NULL && fit == FIT_ANY && align <= HEAP_ALIGN &&
        (*object = hcache_take_slow(q, v->h, size)) != NULL)
        return HEAP_OK;
    if (q != NULL && fit != FIT_ANY)
        hcache_close(q, v->h);
    enum heap_result result = place_in_parts(v, size, align, fit, object);
    if (result != HEAP_NO_SPACE || q == NULL || q->nslices == 0)
        return result;
    hcache_close(q, v->h);
    return place_in_parts(v, size, align, fit, object);
}

static enum mem_result take(struct session *v, const struct request *w, void **object)
{
    static const enum fit fits[] = {[MEM_ANY_FIT] = FIT_ANY,
                                    [MEM_BEST_FIT] = FIT_BEST,
                                    [MEM_WORST_FIT] = FIT_WORST,
                                    [MEM_FIRST_FIT] = FIT_FIRST};
    enum heap_result result = place(v, w->size, w->align, fits[w->style], object);
    if (result != HEAP_OK)
        return result_of_heap(result);
    v->m->nlive++;
    if (v->m->flags & MEM_FILL_NEW)
        memset(*object, v->m->fill_new, w->size);
    return MEM_OK;
}

static enum mem_result allocate_once(mem_heap *m, const struct request *w, void **object)
{
    struct session v;
    enum mem_result result = open_to_change(m, &v);
    if (result != MEM_OK)
        return result;
    if (is_too_large(m, w->size))
        result = MEM_TOO_LARGE;
    else if (is_over_limit(m, w->size, 0))
        result = MEM_OVER_LIMIT;
    else
        result = take(&v, w, object);
    if (result == MEM_OK)
        count_live(m, w->size, 0);
    session_close(&v);
    return result;
}

/* Does somebody want it tried again? */
static bool ask_for_room(mem_heap *m, enum mem_result result, size_t size)
{
    if (result != MEM_NO_SPACE && result != MEM_OVER_LIMIT)
        return false;
    const struct extras *e = header_extras(m);
    return e != NULL && e->on_exhausted != NULL && e->on_exhausted(m, size, e->context);
}

static void *allocate(mem_heap *m, const struct request *w)
{
    void *object = NULL;
    enum mem_result result;
    do
        result = allocate_once(m, w, &object);
    while (ask_for_room(m, result, w->size));
    return result == MEM_OK ? object : result_null(result);
}

/* The style that the heap was made with; checked again when it is entered. */
static enum mem_style style_of(const mem_heap *m)
{
    bool is_heap = m != NULL && (uintptr_t)m % HEAP_ALIGN == 0 && header_is_here(m);
    return is_heap ? (enum mem_style)m->style : MEM_ANY_FIT;
}

/* --- the short way ------------------------------------------------------------ */

static inline bool has_magic(const mem_heap *m, uint32_t magic)
{
    return m != NULL && (uintptr_t)m % HEAP_ALIGN == 0 && m->magic == magic;
}

/* The windows of a heap that is the calling thread's alone; NULL: it has none, or is none. */
static inline struct hcache *hcache_of(const mem_heap *m)
{
    return has_magic(m, HEAP_FAST) && !m->is_walked ? header_hcache(m) : NULL;
}

static void leave_fast_locked(mem_heap *m)
{
    pthread_mutex_unlock(header_lock(m));
    mutator_leave();
}

/* Of a heap that threads share, with its lock. */
static struct hcache *enter_fast_locked(mem_heap *m)
{
    if (!has_magic(m, HEAP_FAST_LOCKED))
        return NULL;
    mutator_enter(); /* SE2 */
    if (session_lock(m) != 0) {
        mutator_leave();
        return NULL;
    }
    if (m->changes % 2 == 0)
        return header_hcache(m);
    leave_fast_locked(m); /* another thread was changing it when this process was forked [SE3] */
    return NULL;
}

/* What is more than the state of a slot changes between these. */
static void slow_change_begin(mem_heap *m)
{
    mutator_enter();
    change_begin(&m->changes);
}

static void slow_change_end(mem_heap *m)
{
    change_end(&m->changes);
    mutator_leave();
}

static inline void *take_fast(mem_heap *m, struct hcache *q, size_t size)
{
    void *object = hcache_take(q, size);
    if (object == NULL)
        return NULL;
    m->nlive++;
    count_live(m, size, 0);
    return object;
}

/* If windows have to be moved for it. */
static void *take_slow(mem_heap *m, struct hcache *q, size_t size)
{
    slow_change_begin(m);
    void *object = hcache_take_slow(q, header_at(m, m->state), size);
    slow_change_end(m);
    if (object == NULL)
        return NULL;
    m->nlive++;
    count_live(m, size, 0);
    return object;
}

static void *take_fast_locked(mem_heap *m, size_t size)
{
    struct hcache *q = enter_fast_locked(m);
    if (q == NULL)
        return NULL;
    void *object = take_fast(m, q, size);
    if (object == NULL)
        object = take_slow(m, q, size);
    leave_fast_locked(m);
    return object;
}

/* By its heap's own style. */
__attribute__((noinline)) static void *allocate_slow(mem_heap *m, size_t size)
{
    struct hcache *q = hcache_of(m);
    void *object = q != NULL ? take_slow(m, q, size) : take_fast_locked(m, size);
    return object != NULL ? object : allocate(m, &(struct request){size, 1, style_of(m)});
}

MEM_API void *mem_alloc(mem_heap *heap, size_t size)
{
    struct hcache *q = hcache_of(heap);
    void *object = q == NULL ? NULL : take_fast(heap, q, size);
    return object != NULL ? object : allocate_slow(heap, size);
}

/* Nobody else has it yet. */
MEM_API void *mem_zalloc(mem_heap *heap, size_t size)
{
    void *object = mem_alloc(heap, size);
    return object == NULL ? NULL : memset(object, 0, size);
}

MEM_API void *mem_aligned(mem_heap *heap, size_t size, size_t align)
{
    enum mem_style style = style_of(heap);
    if (!is_power_of_two(align))
        return result_null(MEM_BAD_ALIGNMENT);
    if (align > HEAP_ALIGN && style != MEM_ANY_FIT)
        style = MEM_BEST_FIT;
    return allocate(heap, &(struct request){size, align, style});
}

MEM_API void *mem_alloc_fit(mem_heap *heap, size_t size, size_t align, enum mem_style style)
{
    if (!is_power_of_two(align))
        return result_null(MEM_BAD_ALIGNMENT);
    if ((unsigned)style > MEM_FIRST_FIT ||
        (align > HEAP_ALIGN && style != MEM_ANY_FIT && style != MEM_BEST_FIT))
        return result_null(MEM_BAD_STYLE);
    return allocate(heap, &(struct request){size, align, style});
}

/* --- giving back ----------------------------------------------------------- */

static enum mem_result refuse(mem_heap *m, const void *address, enum mem_result why)
{
    const struct extras *e = header_extras(m);
    if (e != NULL && e->on_refused != NULL)
        e->on_refused(m, address, why, e->context);
    return result_set(why);
}

/* Nobody else can have the memory yet, and nothing of the heap's own is in it. */
static void fill_freed(const mem_heap *m, unsigned char *from, size_t nbytes)
{
    if (m->flags & MEM_FILL_FREED)
        memset(from, m->fill_freed, nbytes);
}

static enum mem_result free_locked(struct session *v, const void *address, bool exact)
{
    struct object found;
    session_select(v, address);
    enum mem_result result =
        find_verdict(v, address, heap_free_locked(v->h, address, exact, &found));
    if (result != MEM_OK)
        return result;
    v->m->nlive--;
    count_live(v->m, 0, found.size);
    fill_freed(v->m, found.start, found.size);
    return MEM_OK;
}

static enum mem_result free_at(mem_heap *m, const void *address, bool exact)
{
    struct session v;
    enum mem_result result = open_to_change(m, &v);
    if (result != MEM_OK || address == NULL) {
        if (result == MEM_OK)
            session_close(&v);
        return result;
    }
    result = free_locked(&v, address, exact);
    session_close(&v);
    return result == MEM_OK ? MEM_OK : refuse(m, address, result);
}

static void refile_slow(mem_heap *m, const void *address)
{
    slow_change_begin(m);
    heap_refile_locked(header_at(m, m->state), address);
    slow_change_end(m);
}

static inline bool give_back_fast(mem_heap *m, struct hcache *q, const void *address)
{
    size_t size;
    bool is_due;
    if (!hcache_free(q, address, &size, &is_due))
        return false;
    m->nlive--;
    m->live_bytes -= size;
    if (is_due)
        refile_slow(m, address);
    return true;
}

__attribute__((noinline)) static enum mem_result free_slow(mem_heap *m, void *address, bool exact)
{
    struct hcache *q = enter_fast_locked(m);
    bool done = q != NULL && give_back_fast(m, q, address);
    if (q != NULL)
        leave_fast_locked(m);
    return done ? MEM_OK : free_at(m, address, exact);
}

static inline __attribute__((always_inline)) enum mem_result free_fast(mem_heap *m, void *address,
                                                                       bool exact)
{
    struct hcache *q = hcache_of(m);
    bool done = q != NULL && give_back_fast(m, q, address);
    return done ? MEM_OK : free_slow(m, address, exact);
}

MEM_API enum mem_result mem_free(mem_heap *heap, void *object)
{
    return free_fast(heap, object, true);
}

MEM_API enum mem_result mem_free_any(mem_heap *heap, void *address)
{
    return free_fast(heap, address, false);
}

/* --- resizing -------------------------------------------------------------- */

static enum mem_result move(struct session *v, const struct object *old, size_t size, void **object)
{
    const struct request w = {size, 1, (enum mem_style)v->m->style};
    struct object gone;
    enum mem_result result = take(v, &w, object);
    if (result != MEM_OK)
        return result;
    memcpy(*object, old->start, old->size < size ? old->size : size);
    session_select(v, old->start);
    heap_free_locked(v->h, old->start, true, &gone);
    v->m->nlive--;
    fill_freed(v->m, old->start, old->size);
    return MEM_OK;
}

static enum mem_result resize_in_place(const struct session *v, const struct object *old,
                                       size_t size)
{
    unsigned char *start = old->start;
    enum heap_result result = heap_resize_locked(v->h, start, size);
    if (result == HEAP_NO_SPACE && move_guard(v))
        result = heap_resize_locked(v->h, start, size);
    if (result != HEAP_OK)
        return result_of_heap(result);
    if (size < old->size)
        fill_freed(v->m, start + size, old->size - size);
    else if (v->m->flags & MEM_FILL_NEW)
        memset(start + old->size, v->m->fill_new, size - old->size);
    return MEM_OK;
}

/* `*refused`: there is no object that begins there. */
static enum mem_result resize_once(mem_heap *m, void *object, size_t size, bool *refused,
                                   void **now)
{
    struct session v;
    struct object old;
    enum mem_result result = open_to_change(m, &v);
    if (result != MEM_OK)
        return result;
    session_select(&v, object);
    result = find_verdict(&v, object, heap_find_locked(v.h, object, &old));
    *refused = result != MEM_OK;
    *now = object;
    if (result == MEM_OK && is_too_large(m, size))
        result = MEM_TOO_LARGE;
    else if (result == MEM_OK && is_over_limit(m, size, old.size))
        result = MEM_OVER_LIMIT;
    else if (result == MEM_OK && (result = resize_in_place(&v, &old, size)) == MEM_NO_SPACE)
        result = move(&v, &old, size, now);
    if (result == MEM_OK)
        count_live(m, size, old.size);
    session_close(&v);
    return result;
}

static bool resize_fast(mem_heap *m, const struct hcache *q, const void *object, size_t size)
{
    size_t old;
    bool done = hcache_resize(q, object, size, &old);
    if (done)
        count_live(m, size, old);
    return done;
}

static bool resize_fast_locked(mem_heap *m, const void *object, size_t size)
{
    const struct hcache *q = enter_fast_locked(m);
    bool done = q != NULL && resize_fast(m, q, object, size);
    if (q != NULL)
        leave_fast_locked(m);
    return done;
}

MEM_API void *mem_resize(mem_heap *heap, void *object, size_t size)
{
    bool refused = false;
    void *now;
    enum mem_result result;
    if (object == NULL)
        return mem_alloc(heap, size);
    const struct hcache *q = hcache_of(heap);
    if (q != NULL ? resize_fast(heap, q, object, size) : resize_fast_locked(heap, object, size))
        return object;
    do
        result = resize_once(heap, object, size, &refused, &now);
    while (ask_for_room(heap, result, size));
    if (result == MEM_OK)
        return now;
    return result_null(refused ? refuse(heap, object, result) : result);
}

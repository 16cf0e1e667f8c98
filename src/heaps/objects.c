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
static enum mem_result enter(mem_heap *m, struct visit *v)
{
    enum mem_result result = visit_enter(m, v);
    if (result != MEM_OK)
        return result;
    if ((m->flags & MEM_CHECK_CALLS) != 0 && recount_fault(v) != NULL) {
        visit_leave(v);
        return say(MEM_DAMAGED);
    }
    visit_change(v);
    return MEM_OK;
}

/* --- taking ---------------------------------------------------------------- */

/* An object that is asked for. */
struct wish {
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
static bool is_way_made(const struct visit *v)
{
    struct chunks *c = &v->h->chunks;
    return v->m->guard_shift != 0 && fence_move(&c->region, &c->ledger);
}

static enum heap_result place_in_parts(struct visit *v, size_t size, size_t align, enum fit fit,
                                       void **object)
{
    enum heap_result result = HEAP_NO_SPACE;
    for (size_t i = 0; result == HEAP_NO_SPACE && visit_open_part(v, i); i++)
        result = heap_place_locked(v->h, size, align, fit, object);
    if (result == HEAP_NO_SPACE && is_way_made(v))
        result = heap_place_locked(v->h, size, align, fit, object);
    return result;
}

/* In a slot, if that is possible; or in the first part that has room [M7]. */
static enum heap_result place(struct visit *v, size_t size, size_t align, enum fit fit,
                              void **object)
{
    struct quick *q = header_is_quick(v->m) ? header_quick(v->m) : NULL;
    if (q != NULL && fit == FIT_ANY && align <= HEAP_ALIGN &&
        (*object = quick_take_slowly(q, v->h, size)) != NULL)
        return HEAP_OK;
    if (q != NULL && fit != FIT_ANY)
        quick_close(q, v->h);
    enum heap_result result = place_in_parts(v, size, align, fit, object);
    if (result != HEAP_NO_SPACE || q == NULL || q->nunits == 0)
        return result;
    quick_close(q, v->h);
    return place_in_parts(v, size, align, fit, object);
}

static enum mem_result take(struct visit *v, const struct wish *w, void **object)
{
    static const enum fit fits[] = {[MEM_ANY_FIT] = FIT_ANY,
                                    [MEM_BEST_FIT] = FIT_BEST,
                                    [MEM_WORST_FIT] = FIT_WORST,
                                    [MEM_FIRST_FIT] = FIT_FIRST};
    enum heap_result result = place(v, w->size, w->align, fits[w->style], object);
    if (result != HEAP_OK)
        return visit_result(result);
    v->m->nlive++;
    if (v->m->flags & MEM_FILL_NEW)
        memset(*object, v->m->fill_new, w->size);
    return MEM_OK;
}

static enum mem_result allocate_once(mem_heap *m, const struct wish *w, void **object)
{
    struct visit v;
    enum mem_result result = enter(m, &v);
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
    visit_leave(&v);
    return result;
}

/* Does somebody want it tried again? */
static bool is_relieved(mem_heap *m, enum mem_result result, size_t size)
{
    if (result != MEM_NO_SPACE && result != MEM_OVER_LIMIT)
        return false;
    const struct extras *e = header_extras(m);
    return e != NULL && e->on_exhausted != NULL && e->on_exhausted(m, size, e->context);
}

static void *allocate(mem_heap *m, const struct wish *w)
{
    void *object = NULL;
    enum mem_result result;
    do
        result = allocate_once(m, w, &object);
    while (is_relieved(m, result, w->size));
    return result == MEM_OK ? object : null(result);
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
static inline struct quick *quick_of(const mem_heap *m)
{
    return has_magic(m, HEAP_QUICK) && !m->is_walked ? header_quick(m) : NULL;
}

static void leave_shared(mem_heap *m)
{
    pthread_mutex_unlock(lock_of(m));
    registry_call_ends();
}

/* Of a heap that threads share, with its lock. */
static struct quick *enter_shared(mem_heap *m)
{
    if (!has_magic(m, HEAP_SHARED))
        return NULL;
    registry_call_begins(); /* V2 */
    if (visit_take_lock(m) != 0) {
        registry_call_ends();
        return NULL;
    }
    if (m->changes % 2 == 0)
        return header_quick(m);
    leave_shared(m); /* another thread was changing it when this process was forked [V3] */
    return NULL;
}

/* What is more than the state of a slot changes between these. */
static void change_slowly_begin(mem_heap *m)
{
    registry_call_begins();
    change_begin(&m->changes);
}

static void change_slowly_end(mem_heap *m)
{
    change_end(&m->changes);
    registry_call_ends();
}

static inline void *take_quickly(mem_heap *m, struct quick *q, size_t size)
{
    void *object = quick_take(q, size);
    if (object == NULL)
        return NULL;
    m->nlive++;
    count_live(m, size, 0);
    return object;
}

/* If windows have to be moved for it. */
static void *take_slowly(mem_heap *m, struct quick *q, size_t size)
{
    change_slowly_begin(m);
    void *object = quick_take_slowly(q, header_part(m, m->state), size);
    change_slowly_end(m);
    if (object == NULL)
        return NULL;
    m->nlive++;
    count_live(m, size, 0);
    return object;
}

static void *take_shared(mem_heap *m, size_t size)
{
    struct quick *q = enter_shared(m);
    if (q == NULL)
        return NULL;
    void *object = take_quickly(m, q, size);
    if (object == NULL)
        object = take_slowly(m, q, size);
    leave_shared(m);
    return object;
}

/* By its heap's own style. */
__attribute__((noinline)) static void *allocate_slowly(mem_heap *m, size_t size)
{
    struct quick *q = quick_of(m);
    void *object = q != NULL ? take_slowly(m, q, size) : take_shared(m, size);
    return object != NULL ? object : allocate(m, &(struct wish){size, 1, style_of(m)});
}

MEM_API void *mem_alloc(mem_heap *heap, size_t size)
{
    struct quick *q = quick_of(heap);
    void *object = q == NULL ? NULL : take_quickly(heap, q, size);
    return object != NULL ? object : allocate_slowly(heap, size);
}

/* Nobody else has it yet. */
MEM_API void *mem_zalloc(mem_heap *heap, size_t size)
{
    void *object = mem_alloc(heap, size);
    return object == NULL ? NULL : memset(object, 0, size);
}

static bool is_power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

MEM_API void *mem_aligned(mem_heap *heap, size_t size, size_t align)
{
    enum mem_style style = style_of(heap);
    if (!is_power_of_two(align))
        return null(MEM_BAD_ALIGNMENT);
    if (align > HEAP_ALIGN && style != MEM_ANY_FIT)
        style = MEM_BEST_FIT;
    return allocate(heap, &(struct wish){size, align, style});
}

MEM_API void *mem_alloc_fit(mem_heap *heap, size_t size, size_t align, enum mem_style style)
{
    if (!is_power_of_two(align))
        return null(MEM_BAD_ALIGNMENT);
    if ((unsigned)style > MEM_FIRST_FIT ||
        (align > HEAP_ALIGN && style != MEM_ANY_FIT && style != MEM_BEST_FIT))
        return null(MEM_BAD_STYLE);
    return allocate(heap, &(struct wish){size, align, style});
}

/* --- giving back ----------------------------------------------------------- */

static enum mem_result refuse(mem_heap *m, const void *address, enum mem_result why)
{
    const struct extras *e = header_extras(m);
    if (e != NULL && e->on_refused != NULL)
        e->on_refused(m, address, why, e->context);
    return say(why);
}

/* Nobody else can have the memory yet, and nothing of the heap's own is in it. */
static void fill_freed(const mem_heap *m, unsigned char *from, size_t nbytes)
{
    if (m->flags & MEM_FILL_FREED)
        memset(from, m->fill_freed, nbytes);
}

static enum mem_result free_locked(struct visit *v, const void *address, bool exact)
{
    struct object found;
    visit_address(v, address);
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
    struct visit v;
    enum mem_result result = enter(m, &v);
    if (result != MEM_OK || address == NULL) {
        if (result == MEM_OK)
            visit_leave(&v);
        return result;
    }
    result = free_locked(&v, address, exact);
    visit_leave(&v);
    return result == MEM_OK ? MEM_OK : refuse(m, address, result);
}

static void recount(mem_heap *m, const void *address)
{
    change_slowly_begin(m);
    heap_recount_locked(header_part(m, m->state), address);
    change_slowly_end(m);
}

static inline bool give_back_quickly(mem_heap *m, struct quick *q, const void *address)
{
    size_t size;
    bool is_due;
    if (!quick_free(q, address, &size, &is_due))
        return false;
    m->nlive--;
    m->live_bytes -= size;
    if (is_due)
        recount(m, address);
    return true;
}

__attribute__((noinline)) static enum mem_result free_slowly(mem_heap *m, void *address, bool exact)
{
    struct quick *q = enter_shared(m);
    bool done = q != NULL && give_back_quickly(m, q, address);
    if (q != NULL)
        leave_shared(m);
    return done ? MEM_OK : free_at(m, address, exact);
}

static inline __attribute__((always_inline)) enum mem_result free_quickly(mem_heap *m,
                                                                          void *address, bool exact)
{
    struct quick *q = quick_of(m);
    bool done = q != NULL && give_back_quickly(m, q, address);
    return done ? MEM_OK : free_slowly(m, address, exact);
}

MEM_API enum mem_result mem_free(mem_heap *heap, void *object)
{
    return free_quickly(heap, object, true);
}

MEM_API enum mem_result mem_free_any(mem_heap *heap, void *address)
{
    return free_quickly(heap, address, false);
}

/* --- resizing -------------------------------------------------------------- */

static enum mem_result move(struct visit *v, const struct object *old, size_t size, void **object)
{
    const struct wish w = {size, 1, (enum mem_style)v->m->style};
    struct object gone;
    enum mem_result result = take(v, &w, object);
    if (result != MEM_OK)
        return result;
    memcpy(*object, old->start, old->size < size ? old->size : size);
    visit_address(v, old->start);
    heap_free_locked(v->h, old->start, true, &gone);
    v->m->nlive--;
    fill_freed(v->m, old->start, old->size);
    return MEM_OK;
}

static enum mem_result resize_in_place(const struct visit *v, const struct object *old, size_t size)
{
    unsigned char *start = old->start;
    enum heap_result result = heap_resize_locked(v->h, start, size);
    if (result == HEAP_NO_SPACE && is_way_made(v))
        result = heap_resize_locked(v->h, start, size);
    if (result != HEAP_OK)
        return visit_result(result);
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
    struct visit v;
    struct object old;
    enum mem_result result = enter(m, &v);
    if (result != MEM_OK)
        return result;
    visit_address(&v, object);
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
    visit_leave(&v);
    return result;
}

static bool resize_quickly(mem_heap *m, const struct quick *q, const void *object, size_t size)
{
    size_t old;
    bool done = quick_resize(q, object, size, &old);
    if (done)
        count_live(m, size, old);
    return done;
}

static bool resize_shared(mem_heap *m, const void *object, size_t size)
{
    const struct quick *q = enter_shared(m);
    bool done = q != NULL && resize_quickly(m, q, object, size);
    if (q != NULL)
        leave_shared(m);
    return done;
}

MEM_API void *mem_resize(mem_heap *heap, void *object, size_t size)
{
    bool refused = false;
    void *now;
    enum mem_result result;
    if (object == NULL)
        return mem_alloc(heap, size);
    const struct quick *q = quick_of(heap);
    if (q != NULL ? resize_quickly(heap, q, object, size) : resize_shared(heap, object, size))
        return object;
    do
        result = resize_once(heap, object, size, &refused, &now);
    while (is_relieved(heap, result, size));
    if (result == MEM_OK)
        return now;
    return null(refused ? refuse(heap, object, result) : result);
}

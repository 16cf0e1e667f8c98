/* SPDX-License-Identifier: MIT
 *
 * mem_heap.c - the calls on heaps of the caller's own. The promises are in mem_heap.h,
 * what lies where is in header.h.
 */
#include "../include/mem_heap.h"

#include <errno.h>
#include <time.h>

#include "check.h"
#include "header.h"
#include "os.h"
#include "registry.h"

enum { FLAGS = MEM_SINGLE_THREADED | MEM_FILL_NEW | MEM_FILL_FREED };

static _Thread_local enum mem_result last_error;

static enum mem_result say(enum mem_result result)
{
    if (result != MEM_OK)
        last_error = result;
    return result;
}

static void *null(enum mem_result why)
{
    say(why);
    return NULL;
}

MEM_API enum mem_result mem_last_error(void)
{
    return last_error;
}

MEM_API const char *mem_strerror(enum mem_result result)
{
    static const char *const text[] = {
        [MEM_OK] = "no error",
        [MEM_NO_HEAP] = "there is no heap at that address",
        [MEM_BUSY] = "the heap is being walked by the caller",
        [MEM_BAD_SIZE] = "too small for a heap",
        [MEM_BAD_BUFFER] = "the buffer is NULL or no multiple of 16",
        [MEM_BAD_OPTIONS] = "an option that does not exist",
        [MEM_BAD_ALIGNMENT] = "the alignment is no power of two",
        [MEM_BAD_STYLE] = "no placement style, or not with this alignment",
        [MEM_TOO_LARGE] = "larger than there can be",
        [MEM_NO_MEMORY] = "the system refuses the mapping",
        [MEM_NO_SPACE] = "no free chunk can hold the object",
        [MEM_OVER_LIMIT] = "it would be more than the limit of the heap",
        [MEM_NOT_OURS] = "the address is outside the heap",
        [MEM_NO_OBJECT] = "the address is in the heap, but in no object",
        [MEM_FREE] = "the address is in free memory",
        [MEM_INSIDE] = "the address is inside an object, but not its start",
        [MEM_BAD_VERSION] = "another version of the library has made the heap",
        [MEM_DAMAGED] = "the heap's own data have been written to",
    };
    size_t n = sizeof text / sizeof text[0];
    return (size_t)result < n ? text[result] : "no result of a heap";
}

static enum mem_result result_of(enum heap_result result)
{
    switch (result) {
    case HEAP_OK:
        return MEM_OK;
    case HEAP_NO_SPACE:
        return MEM_NO_SPACE;
    case HEAP_NOT_OURS:
        return MEM_NOT_OURS;
    case HEAP_NO_OBJECT:
        return MEM_NO_OBJECT;
    case HEAP_FREE:
        return MEM_FREE;
    case HEAP_INSIDE:
        return MEM_INSIDE;
    case HEAP_NO_REGION:
    case HEAP_DAMAGED:
    case HEAP_BROKEN:
        break;
    }
    return MEM_DAMAGED;
}

/* --- going in and out ---------------------------------------------------------- */

/* A call at work in a heap. */
struct visit {
    mem_heap *m;
    struct heap *h;
    bool changes;
    struct heap view;
};

static pthread_mutex_t *lock_of(const mem_heap *m)
{
    return header_part(m, m->lock);
}

/* Nothing else of it may be read before. */
static enum mem_result look_at(const mem_heap *m)
{
    if (m == NULL || (uintptr_t)m % HEAP_ALIGN != 0 || m->magic != HEAP_MAGIC)
        return MEM_NO_HEAP;
    return header_is_whole(m) ? MEM_OK : MEM_DAMAGED;
}

/* How many forks it is away from the first. A lock that threads of the parent had held
 * would be held for ever: it is made anew by who needs it first, and not by the fork, as
 * the memory may be shared with the parent. */
static uint16_t process_number;

static void open_lock(mem_heap *m)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK); /* a visitor that calls */
    pthread_mutex_init(lock_of(m), &attributes);
    pthread_mutexattr_destroy(&attributes);
    __atomic_store_n(&m->process, process_number, __ATOMIC_RELEASE);
}

static bool is_of_parent(const mem_heap *m)
{
    return __atomic_load_n(&m->process, __ATOMIC_ACQUIRE) != process_number;
}

__attribute__((noinline, cold)) static void renew_lock(mem_heap *m)
{
    registry_lock();
    if (is_of_parent(m))
        open_lock(m);
    registry_unlock();
}

static int take_lock(mem_heap *m)
{
    if (is_of_parent(m))
        renew_lock(m);
    return pthread_mutex_lock(lock_of(m));
}

static void leave(const struct visit *v)
{
    mem_heap *m = v->m;
    if (v->changes && !m->has_spans)
        header_store(m, v->h);
    if (v->changes) {
        header_sum_numbers(m);
        change_end(&m->changes);
    }
    if (m->lock != 0)
        pthread_mutex_unlock(lock_of(m));
    registry_call_ends();
}

/* Under the lock, before anything is done by them: NULL, or what is wrong with the numbers
 * in the header. A count of changes that is odd now was not made so by a call. */
static const char *numbers_fault(const struct visit *v)
{
    if (!header_numbers_are_whole(v->m) || v->m->changes % 2 != 0)
        return "the numbers in the header have been written to";
    return ledger_is_sane(&v->h->chunks.ledger) ? NULL : "the numbers of the ledger cannot be";
}

static enum mem_result enter(mem_heap *m, struct visit *v, bool to_change)
{
    enum mem_result result = look_at(m);
    if (result != MEM_OK)
        return say(result);
    registry_call_begins();
    if (m->lock == 0 ? m->is_walked != 0 : take_lock(m) == EDEADLK) {
        registry_call_ends();
        return say(MEM_BUSY);
    }
    v->m = m;
    v->changes = false;
    v->h = m->has_spans ? header_part(m, m->state) : &v->view;
    if (!m->has_spans)
        header_load(m, v->h);
    if (numbers_fault(v) != NULL) {
        leave(v);
        return say(MEM_DAMAGED);
    }
    v->changes = to_change;
    if (to_change)
        change_begin(&m->changes);
    return MEM_OK;
}

/* --- counting ------------------------------------------------------------------ */

static size_t limit_of(const mem_heap *m)
{
    const struct extras *e = header_part(m, m->extras);
    return e == NULL ? 0 : e->limit;
}

/* Where no piece begins: behind the last, or where the ledger is damaged? */
static bool is_end(const struct heap *h, size_t offset)
{
    return offset / GRANULE_BYTES >= h->chunks.ledger.b.top;
}

static void count_piece(const struct piece *p, struct mem_statistics *s)
{
    if (p->kind == PIECE_OBJECT) {
        s->live_objects++;
        s->live_bytes += p->size;
        s->slack_bytes += p->nbytes - p->size;
    } else if (p->kind != PIECE_OURS) {
        s->free_chunks++;
        s->free_bytes += p->nbytes;
        if (p->kind == PIECE_FREE && p->nbytes > s->largest_free)
            s->largest_free = p->nbytes;
    }
}

/* False: not to the end. */
static bool count(const struct visit *v, struct mem_statistics *s)
{
    struct piece p;
    size_t at = 0;
    *s = (struct mem_statistics){.region_bytes = v->m->nbytes, .peak_bytes = v->m->peak_bytes};
    s->limit = limit_of(v->m);
    for (; heap_piece_locked(v->h, at, &p); at += p.nbytes)
        count_piece(&p, s);
    s->metadata_bytes = s->region_bytes - s->live_bytes - s->slack_bytes - s->free_bytes;
    return is_end(v->h, at);
}

/* What is wrong, in words, or NULL. */
static const char *fault(const struct visit *v)
{
    struct mem_statistics s;
    const char *wrong = numbers_fault(v);
    if (wrong == NULL && !header_extras_are_whole(v->m))
        wrong = "the limit or the callbacks have been written to";
    if (wrong == NULL)
        wrong = check_fault_locked(v->h);
    if (wrong == NULL && (!count(v, &s) || s.live_objects != v->m->nlive ||
                          s.live_bytes != v->m->live_bytes)) /* M3 */
        wrong = "there are other objects than the header counts";
    return wrong;
}

/* --- making heaps ------------------------------------------------------------ */

static bool options_exist(const struct mem_options *o)
{
    return (o->flags & ~(unsigned)FLAGS) == 0 && (unsigned)o->style <= MEM_FIRST_FIT;
}

/* --- forks ------------------------------------------------------------------------ */

static mem_heap *lockable(const struct place *p)
{
    mem_heap *m = p->owner;
    return m != NULL && header_is_whole(m) && m->lock != 0 ? m : NULL;
}

static bool unlock_one(const struct place *p)
{
    mem_heap *m = lockable(p);
    if (m != NULL && m->is_held == 1) {
        m->is_held = 0;
        pthread_mutex_unlock(lock_of(m));
    }
    return true;
}

static void unlock_all(void)
{
    registry_all_locked(unlock_one);
}

/* Who has it may be waiting for a processor. */
static bool lock_in_time(pthread_mutex_t *lock)
{
    enum { PATIENCE = 200000000, A_SECOND = 1000000000 }; /* nanoseconds */
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += PATIENCE;
    until.tv_sec += until.tv_nsec / A_SECOND;
    until.tv_nsec %= A_SECOND;
    return pthread_mutex_timedlock(lock, &until) == 0;
}

static bool lock_one(const struct place *p)
{
    mem_heap *m = lockable(p);
    if (m == NULL)
        return true;
    if (is_of_parent(m))
        open_lock(m);
    if (!lock_in_time(lock_of(m)))
        return false;
    m->is_held = 1;
    return true;
}

static bool try_one(const struct place *p)
{
    lock_one(p);
    return true;
}

/* Never waits for long with locks in hand: a visitor of one heap may want another. Who
 * gives up has a heap in the child that may be found in the middle of a call: MEM_DAMAGED. */
static bool lock_all(bool give_up)
{
    if (registry_all_locked(give_up ? try_one : lock_one))
        return true;
    unlock_all();
    return false;
}

static bool free_in_child(const struct place *p)
{
    mem_heap *m = lockable(p);
    if (m != NULL)
        m->is_held = 0;
    return true;
}

static void forked(void)
{
    process_number++;
    registry_all_locked(free_in_child);
}

static void guard_forks(void)
{
    registry_guard_forks(lock_all, unlock_all, forked);
}

/* --- in and out of the registry --------------------------------------------------- */

static bool enrol(mem_heap *m)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, guard_forks);
    const struct heap *h = m->has_spans ? header_part(m, m->state) : NULL;
    struct place place = {(uintptr_t)m, m->nbytes, m, h, 0, 0};
    return registry_add(&place);
}

static mem_heap *open_heap(void *memory, size_t nbytes, const struct mem_options *o, bool is_mapped)
{
    mem_heap *m = memory;
    header_make(m, nbytes, o, is_mapped);
    if (m->lock != 0)
        open_lock(m);
    struct heap small, *h = m->has_spans ? header_part(m, m->state) : &small;
    heap_open_single(h, header_region(m), !is_mapped);
    if (!m->has_spans)
        header_store(m, h);
    header_sum_numbers(m);
    if (enrol(m))
        return m;
    m->magic = 0;
    if (is_mapped)
        os_unmap(m, nbytes);
    return null(MEM_NO_MEMORY);
}

static const struct mem_options no_options;

MEM_API mem_heap *mem_heap_create(size_t nbytes, const struct mem_options *options)
{
    const struct mem_options *o = options == NULL ? &no_options : options;
    struct region r;
    if (nbytes == 0)
        return null(MEM_BAD_SIZE);
    if (nbytes > MEM_HEAP_MAX)
        return null(MEM_TOO_LARGE);
    if (!options_exist(o))
        return null(MEM_BAD_OPTIONS);
    if (!region_reserve(&r, nbytes))
        return null(MEM_NO_MEMORY);
    return open_heap(r.base, r.nbytes, o, true);
}

MEM_API mem_heap *mem_heap_in(void *buffer, size_t nbytes, const struct mem_options *options)
{
    const struct mem_options *o = options == NULL ? &no_options : options;
    if (buffer == NULL || (uintptr_t)buffer % HEAP_ALIGN != 0)
        return null(MEM_BAD_BUFFER);
    if (nbytes < MEM_HEAP_MIN)
        return null(MEM_BAD_SIZE);
    if (nbytes > MEM_HEAP_MAX)
        return null(MEM_TOO_LARGE);
    if (!options_exist(o))
        return null(MEM_BAD_OPTIONS);
    return open_heap(buffer, nbytes - nbytes % HEAP_ALIGN, o, false);
}

MEM_API enum mem_result mem_heap_destroy(mem_heap *heap)
{
    struct visit v;
    enum mem_result result = enter(heap, &v, false);
    if (result != MEM_OK)
        return result;
    leave(&v);
    bool may_go = registry_remove(heap);
    if (heap->lock != 0)
        pthread_mutex_destroy(lock_of(heap));
    heap->magic = 0;
    if (heap->is_mapped && may_go)
        os_unmap(heap, heap->nbytes);
    return MEM_OK;
}

/* --- moving ---------------------------------------------------------------- */

/* What a heap with spans knows of where it lies. */
static bool move_to(mem_heap *m, struct heap *h, const unsigned char *was)
{
    struct chunks *c = &h->chunks;
    struct region r = header_region(m);
    ptrdiff_t delta = (ptrdiff_t)((uintptr_t)r.base - (uintptr_t)was);
    r.is_zero = false;
    c->region = r;
    c->list = (struct freelist){&c->region, &c->ledger, NULL};
    c->ledger.b.end = r.base + r.nbytes;
    c->ledger.b.room = c->ledger.nbytes = r.nbytes;
    h->spans.chunks = c;
    h->spans.threads.first = NULL;
    h->has_caches = false;
    h->keeps_pages = true;
    h->counts = NULL;
    return h->spans.changes % 2 == 0 && c->ledger.changes % 2 == 0 && ledger_is_sane(&c->ledger) &&
           spans_move(&h->spans, delta);
}

/* With spans, and so with addresses: all are moved, and back again if it is of no use. */
static enum mem_result settle(mem_heap *m)
{
    struct visit v = {.m = m, .h = header_part(m, m->state)};
    struct heap was = *v.h;
    if (!move_to(m, v.h, was.chunks.region.base)) {
        size_t moved = (uintptr_t)v.h->chunks.region.base - (uintptr_t)was.chunks.region.base;
        bool units = was.spans.nheld > 0 && moved % UNIT_BYTES != 0;
        *v.h = was;
        return units ? MEM_BAD_BUFFER : MEM_DAMAGED;
    }
    if (fault(&v) == NULL)
        return MEM_OK;
    spans_move(&v.h->spans,
               (ptrdiff_t)((uintptr_t)was.chunks.region.base - (uintptr_t)v.h->chunks.region.base));
    *v.h = was;
    return MEM_DAMAGED;
}

static enum mem_result examine(mem_heap *m, size_t nbytes, const struct mem_options *o)
{
    struct visit v = {.m = m, .h = &v.view};
    enum mem_result result = header_examine(m, nbytes);
    if (result != MEM_OK)
        return result;
    if (registry_has(m))
        return MEM_BUSY;
    if (m->extras == 0 && (o->on_exhausted != NULL || o->on_refused != NULL))
        return MEM_BAD_OPTIONS;
    if (m->has_spans)
        return settle(m);
    header_load(m, v.h);
    return fault(&v) == NULL ? MEM_OK : MEM_DAMAGED;
}

MEM_API mem_heap *mem_heap_attach(void *buffer, size_t nbytes, const struct mem_options *options)
{
    const struct mem_options *o = options == NULL ? &no_options : options;
    mem_heap *m = buffer;
    if (m == NULL || (uintptr_t)m % HEAP_ALIGN != 0)
        return null(MEM_BAD_BUFFER);
    enum mem_result result = examine(m, nbytes, o);
    if (result != MEM_OK)
        return null(result);
    header_make_anew(m, o);
    if (m->lock != 0)
        open_lock(m);
    return enrol(m) ? m : null(MEM_NO_MEMORY);
}

MEM_API enum mem_result mem_heap_detach(mem_heap *heap)
{
    struct visit v;
    enum mem_result result = enter(heap, &v, false);
    if (result != MEM_OK)
        return result;
    leave(&v);
    if (heap->is_mapped)
        return say(MEM_BAD_BUFFER);
    registry_remove(heap);
    if (heap->lock != 0)
        pthread_mutex_destroy(lock_of(heap));
    heap->magic = HEAP_DETACHED;
    return MEM_OK;
}

/* --- taking ---------------------------------------------------------------- */

/* An object that is asked for. */
struct wish {
    size_t size, align;
    enum mem_style style;
    bool zero;
};

static void count_live(mem_heap *m, size_t more, size_t less)
{
    m->live_bytes = m->live_bytes + more - less;
    if (m->live_bytes > m->peak_bytes)
        m->peak_bytes = m->live_bytes;
}

/* Would the objects be too much if one of `old` bytes became one of `size`? */
static bool is_over_limit(const mem_heap *m, size_t size, size_t old)
{
    size_t limit = limit_of(m);
    size_t others = m->live_bytes - old;
    return limit > 0 && size > old && (others > limit || size > limit - others);
}

static enum mem_result take(const struct visit *v, const struct wish *w, void **object)
{
    static const enum fit fits[] = {[MEM_ANY_FIT] = FIT_ANY,
                                    [MEM_BEST_FIT] = FIT_BEST,
                                    [MEM_WORST_FIT] = FIT_WORST,
                                    [MEM_FIRST_FIT] = FIT_FIRST};
    enum heap_result result = heap_place_locked(v->h, w->size, w->align, fits[w->style], object);
    if (result != HEAP_OK)
        return result_of(result);
    v->m->nlive++;
    if (w->zero)
        memset(*object, 0, w->size);
    else if (v->m->flags & MEM_FILL_NEW)
        memset(*object, v->m->fill_new, w->size);
    return MEM_OK;
}

static enum mem_result allocate_once(mem_heap *m, const struct wish *w, void **object)
{
    struct visit v;
    enum mem_result result = enter(m, &v, true);
    if (result != MEM_OK)
        return result;
    if (w->size > m->nbytes)
        result = MEM_TOO_LARGE;
    else if (is_over_limit(m, w->size, 0))
        result = MEM_OVER_LIMIT;
    else
        result = take(&v, w, object);
    if (result == MEM_OK)
        count_live(m, w->size, 0);
    leave(&v);
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
    bool is_heap = m != NULL && (uintptr_t)m % HEAP_ALIGN == 0 && m->magic == HEAP_MAGIC;
    return is_heap ? (enum mem_style)m->style : MEM_ANY_FIT;
}

MEM_API void *mem_alloc(mem_heap *heap, size_t size)
{
    return allocate(heap, &(struct wish){size, 1, style_of(heap), false});
}

MEM_API void *mem_zalloc(mem_heap *heap, size_t size)
{
    return allocate(heap, &(struct wish){size, 1, style_of(heap), true});
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
    return allocate(heap, &(struct wish){size, align, style, false});
}

MEM_API void *mem_alloc_fit(mem_heap *heap, size_t size, size_t align, enum mem_style style)
{
    if (!is_power_of_two(align))
        return null(MEM_BAD_ALIGNMENT);
    if ((unsigned)style > MEM_FIRST_FIT ||
        (align > HEAP_ALIGN && style != MEM_ANY_FIT && style != MEM_BEST_FIT))
        return null(MEM_BAD_STYLE);
    return allocate(heap, &(struct wish){size, align, style, false});
}

/* --- judging --------------------------------------------------------------- */

/* The free slot or chunk that the address lies in. False: what is left over behind the
 * last slot of a span, which nobody can have. */
static bool find_free(const struct heap *h, const void *address, struct mem_piece *found)
{
    size_t offset = region_offset(&h->chunks.region, address);
    struct slot slot;
    struct chunk chunk;
    ledger_find(&h->chunks.ledger, (uint32_t)(offset / GRANULE_BYTES), &chunk);
    size_t start = (size_t)chunk.start * GRANULE_BYTES;
    size_t nbytes = (size_t)chunk.length * GRANULE_BYTES, end = start + nbytes;
    if (spans_find(&h->spans, offset, &slot)) {
        start = offset - slot.into;
        nbytes = slot.bytes;
    }
    *found = (struct mem_piece){h->chunks.region.base + start, nbytes, false, NULL};
    return start + nbytes <= end;
}

/* To the inside, the header is as far outside as anything; to the caller it is the heap's. */
static enum mem_result verdict(const struct visit *v, const void *address, enum heap_result result)
{
    struct mem_piece piece;
    bool in_header = (uintptr_t)address - (uintptr_t)v->m < v->m->region;
    if ((result == HEAP_NOT_OURS && in_header) ||
        (result == HEAP_FREE && !find_free(v->h, address, &piece)))
        return MEM_NO_OBJECT;
    return result_of(result);
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

static enum mem_result free_locked(const struct visit *v, const void *address, bool exact)
{
    struct object found;
    enum mem_result result = verdict(v, address, heap_free_locked(v->h, address, exact, &found));
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
    enum mem_result result = enter(m, &v, true);
    if (result != MEM_OK || address == NULL) {
        if (result == MEM_OK)
            leave(&v);
        return result;
    }
    result = free_locked(&v, address, exact);
    leave(&v);
    return result == MEM_OK ? MEM_OK : refuse(m, address, result);
}

MEM_API enum mem_result mem_free(mem_heap *heap, void *object)
{
    return free_at(heap, object, true);
}

MEM_API enum mem_result mem_free_any(mem_heap *heap, void *address)
{
    return free_at(heap, address, false);
}

/* --- resizing -------------------------------------------------------------- */

static enum mem_result move(const struct visit *v, const struct object *old, size_t size,
                            void **object)
{
    const struct wish w = {size, 1, (enum mem_style)v->m->style, false};
    struct object gone;
    enum mem_result result = take(v, &w, object);
    if (result != MEM_OK)
        return result;
    memcpy(*object, old->start, old->size < size ? old->size : size);
    heap_free_locked(v->h, old->start, true, &gone);
    v->m->nlive--;
    fill_freed(v->m, old->start, old->size);
    return MEM_OK;
}

static enum mem_result resize_in_place(const struct visit *v, const struct object *old, size_t size)
{
    enum mem_result result = result_of(heap_resize_locked(v->h, old->start, size));
    unsigned char *start = old->start;
    if (result != MEM_OK)
        return result;
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
    enum mem_result result = enter(m, &v, true);
    if (result != MEM_OK)
        return result;
    result = verdict(&v, object, heap_find_locked(v.h, object, &old));
    *refused = result != MEM_OK;
    *now = object;
    if (result == MEM_OK && size > m->nbytes)
        result = MEM_TOO_LARGE;
    else if (result == MEM_OK && is_over_limit(m, size, old.size))
        result = MEM_OVER_LIMIT;
    else if (result == MEM_OK && (result = resize_in_place(&v, &old, size)) == MEM_NO_SPACE)
        result = move(&v, &old, size, now);
    if (result == MEM_OK)
        count_live(m, size, old.size);
    leave(&v);
    return result;
}

MEM_API void *mem_resize(mem_heap *heap, void *object, size_t size)
{
    bool refused = false;
    void *now;
    enum mem_result result;
    if (object == NULL)
        return mem_alloc(heap, size);
    do
        result = resize_once(heap, object, size, &refused, &now);
    while (is_relieved(heap, result, size));
    if (result == MEM_OK)
        return now;
    return null(refused ? refuse(heap, object, result) : result);
}

/* --- asking ---------------------------------------------------------------- */

static enum mem_result find_locked(mem_heap *m, const void *address, struct mem_piece *found)
{
    struct visit v;
    struct object object;
    enum mem_result result = enter(m, &v, false);
    if (result != MEM_OK)
        return result;
    result = verdict(&v, address, heap_find_locked(v.h, address, &object));
    if (result == MEM_INSIDE)
        result = MEM_OK;
    if (result == MEM_OK)
        *found = (struct mem_piece){object.start, object.size, true, m};
    else if (result == MEM_FREE && find_free(v.h, address, found))
        found->heap = m;
    leave(&v);
    return result == MEM_FREE ? MEM_OK : say(result);
}

/* What was peeked at is to callers. */
static enum mem_result told(enum peek what, const struct peeked *p, mem_heap *heap,
                            struct mem_piece *found)
{
    switch (what) {
    case PEEK_OBJECT:
    case PEEK_FREE:
        *found = (struct mem_piece){p->start, p->size, what == PEEK_OBJECT, heap};
        return MEM_OK;
    case PEEK_OUTSIDE:
        return MEM_NOT_OURS;
    case PEEK_NONSENSE:
        return MEM_DAMAGED;
    case PEEK_CHANGING:
        return MEM_BUSY;
    case PEEK_NO_OBJECT:
    case PEEK_NO_SLOT:
        break;
    }
    return MEM_NO_OBJECT;
}

/* --- any address -------------------------------------------------------------- */

/* A place in which there is no heap any more: its memory was the caller's, who has not
 * destroyed it and uses it for something else. */
RACING static bool is_there(const struct place *p)
{
    return p->owner == NULL || ((const mem_heap *)p->owner)->magic == HEAP_MAGIC;
}

RACING static enum mem_result find_once(const struct place *p, const void *address,
                                        struct mem_piece *found)
{
    struct peeked peeked;
    mem_heap *m = p->owner;
    enum peek what = PEEK_NONSENSE;
    if (m == NULL)
        what = peek_heap(p->heap, address, &peeked);
    else if (header_is_whole(m) && m->nbytes == p->nbytes)
        what = header_peek(m, address, &peeked);
    return told(what, &peeked, m, found);
}

/* Whoever changes the heap may itself be waiting for a processor. */
static enum mem_result find_in_place(const struct place *p, const void *address,
                                     struct mem_piece *found)
{
    enum mem_result result = MEM_BUSY;
    for (unsigned n = 0; result == MEM_BUSY && registry_wait(n); n++)
        result = find_once(p, address, found);
    return result;
}

static enum mem_result find_anywhere(struct look *look, const void *address,
                                     struct mem_piece *found)
{
    struct place p;
    struct peeked_spans spans = {0};
    enum registry_result result = registry_find((uintptr_t)address, &p);
    while (result == REGISTRY_FOUND && !is_there(&p)) {
        struct place inner = p;
        result = registry_find_around(&inner, &p);
    }
    if (result != REGISTRY_FOUND)
        return result == REGISTRY_NONE ? MEM_NOT_OURS : MEM_BUSY;
    bool has_spans = p.heap != NULL && peek_spans(p.heap, &spans);
    spans.owner = p.owner;
    registry_note(look, &spans, has_spans ? p.version : 0);
    return find_in_place(&p, address, found);
}

__attribute__((noinline)) static enum mem_result find_slowly(const void *address,
                                                             struct mem_piece *found)
{
    struct look look = registry_begin();
    enum mem_result result = find_anywhere(&look, address, found);
    registry_end(&look);
    return result;
}

/* An object in a slot of the heap that the last one was in: nearly always it is, and
 * all that is in a hurry. False: it is not seen to be one. */
static inline __attribute__((always_inline)) bool find_fast(const void *address,
                                                            struct mem_piece *found)
{
    struct peeked p;
    uint32_t was;
    struct reader *r = registry_begin_fast((uintptr_t)address, &was);
    if (r == NULL)
        return false;
    bool seen = peek_object(&r->last, (uintptr_t)address, &p);
    void *owner = r->last.owner;
    registry_end_fast(r, was);
    if (seen)
        *found = (struct mem_piece){p.start, p.size, true, owner};
    return seen;
}

MEM_API enum mem_result mem_find(const void *address, struct mem_piece *found)
{
    return find_fast(address, found) ? MEM_OK : find_slowly(address, found);
}

/* For the next time. */
static void note_heap(const mem_heap *m)
{
    struct place p;
    struct peeked_spans spans;
    struct look look = registry_begin();
    bool has_spans = registry_find((uintptr_t)m, &p) == REGISTRY_FOUND && p.owner == m &&
                     p.heap != NULL && peek_spans(p.heap, &spans);
    spans.owner = p.owner;
    if (has_spans)
        registry_note(&look, &spans, p.version);
    registry_end(&look);
}

static enum mem_result find_in_slowly(mem_heap *heap, const void *address, struct mem_piece *found)
{
    enum { TRIES = 8 };
    struct peeked p;
    enum peek what = PEEK_CHANGING;
    enum mem_result result = look_at(heap);
    if (result != MEM_OK)
        return say(result);
    if (heap->has_spans)
        note_heap(heap);
    for (int i = 0; i < TRIES && what == PEEK_CHANGING; i++)
        what = header_peek(heap, address, &p);
    if (what == PEEK_CHANGING)
        return find_locked(heap, address, found);
    return say(told(what, &p, heap, found));
}

MEM_API enum mem_result mem_find_in(mem_heap *heap, const void *address, struct mem_piece *found)
{
    struct mem_piece piece;
    if (heap == NULL || !find_fast(address, &piece) || piece.heap != heap)
        return find_in_slowly(heap, address, found);
    *found = piece;
    return MEM_OK;
}

/* Called by a libmem-malloc.so that a program has beside this library; of another version
 * it is not. */
MEM_API void mem_heap_also(const struct heap *heap, size_t heap_bytes);
MEM_API void mem_heap_also(const struct heap *heap, size_t heap_bytes)
{
    const struct region *r = &heap->chunks.region;
    struct place place = {(uintptr_t)r->base, r->nbytes, NULL, heap, 0, 0};
    if (heap_bytes == sizeof *heap)
        (void)registry_add(&place);
}

MEM_API enum mem_result mem_walk(mem_heap *heap, mem_visitor visit, void *context)
{
    struct visit v;
    struct piece p;
    bool more = true;
    size_t at = 0;
    enum mem_result result = enter(heap, &v, false);
    if (result != MEM_OK)
        return result;
    heap->is_walked = true;
    for (; more && heap_piece_locked(v.h, at, &p); at += p.nbytes) {
        bool live = p.kind == PIECE_OBJECT;
        if (p.kind != PIECE_OURS)
            more =
                visit(&(struct mem_piece){p.start, live ? p.size : p.nbytes, live, heap}, context);
    }
    heap->is_walked = false;
    result = more && !is_end(v.h, at) ? MEM_DAMAGED : MEM_OK;
    leave(&v);
    return say(result);
}

MEM_API enum mem_result mem_stats(mem_heap *heap, struct mem_statistics *stats)
{
    struct visit v;
    struct mem_statistics s;
    enum mem_result result = enter(heap, &v, false);
    if (result != MEM_OK)
        return result;
    if (count(&v, &s))
        *stats = s;
    else
        result = MEM_DAMAGED;
    leave(&v);
    return say(result);
}

MEM_API enum mem_result mem_check(mem_heap *heap, const char **wrong)
{
    struct visit v;
    const char *what = "the header has been written to";
    enum mem_result result = look_at(heap);
    if (result == MEM_NO_HEAP)
        what = mem_strerror(MEM_NO_HEAP);
    if (result == MEM_OK && (result = enter(heap, &v, false)) == MEM_OK) {
        what = fault(&v);
        result = what == NULL ? MEM_OK : MEM_DAMAGED;
        leave(&v);
    } else if (result == MEM_BUSY) {
        what = mem_strerror(MEM_BUSY);
    }
    if (wrong != NULL)
        *wrong = what;
    return say(result);
}

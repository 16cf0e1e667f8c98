/* SPDX-License-Identifier: MIT
 *
 * mem_heap.c - heaps of the caller's own. The promises are in mem_heap.h.
 *
 *     low                                                             low + nbytes
 *      | header | lock? | extras? | state |  chunks -->  gap  <-- ledger  |
 *      |<---------- struct mem_heap ----->|<-------- the region --------->|
 *
 *   M1  a heap too small for spans has no address in its header: `struct heap` is made
 *       on the stack for each call, of what is stored as numbers;
 *   M2  what only some heaps need (a lock; a limit and callbacks; all that spans need)
 *       has no place in the header of others, so that 256 bytes are enough for a heap;
 *   M3  live_bytes and nlive are what a walk would count.
 */
#include "../include/mem_heap.h"

#include <errno.h>

#include "check.h"
#include "heap.h"
#include "os.h"

enum { MAGIC = 0x3150484D }; /* "MHP1" */
enum { FLAGS = MEM_SINGLE_THREADED | MEM_FILL_NEW | MEM_FILL_FREED };
enum { ALIGN = 16, WITH_SPANS = (1 << 20) + (1 << 10) };

/* The ledger of a heap without spans, but for the two that follow from where it lies. */
struct stored {
    struct tree tree[2];
    uint32_t nnodes, top, high, nlive;
};

struct extras {
    size_t limit;
    bool (*on_exhausted)(mem_heap *heap, size_t size, void *context);
    void (*on_refused)(mem_heap *heap, const void *address, enum mem_result why, void *context);
    void *context;
};

struct mem_heap {
    uint32_t magic;
    uint32_t nlive;
    size_t nbytes; /* from here to the end of the region */
    size_t live_bytes, peak_bytes;
    uint16_t lock, extras, state, region; /* where they are, in bytes from here; 0: none */
    uint8_t flags, style, fill_new, fill_freed;
    bool is_mapped, has_spans, is_walked;
};

enum {
    LARGEST_SMALL_HEADER = sizeof(struct mem_heap) + sizeof(pthread_mutex_t) +
                           sizeof(struct extras) + sizeof(struct stored) + ALIGN
};
static_assert(LARGEST_SMALL_HEADER + CHUNK_COST + 2 * GRANULE_BYTES <= 256,
              "the smallest heap holds an object of 32 bytes, whatever its options");
static_assert(MEM_HEAP_MAX == REGION_BYTES_MAX, "");

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

/* --- the parts of a header -------------------------------------------------- */

static void *part(const mem_heap *m, size_t offset)
{
    return offset == 0 ? NULL : (unsigned char *)(uintptr_t)m + offset;
}

static pthread_mutex_t *lock_of(const mem_heap *m)
{
    return part(m, m->lock);
}

static struct extras *extras_of(const mem_heap *m)
{
    return part(m, m->extras);
}

static struct region region_of(const mem_heap *m)
{
    return (struct region){part(m, m->region), m->nbytes - m->region, m->is_mapped};
}

static void load(const mem_heap *m, struct heap *h)
{
    const struct stored *s = part(m, m->state);
    struct region r = region_of(m);
    *h = (struct heap){.keeps_pages = true};
    h->chunks.region = r;
    h->chunks.ledger = (struct ledger){
        .b = {.end = r.base + r.nbytes,
              .nnodes = s->nnodes,
              .top = s->top,
              .tree = {s->tree[0], s->tree[1]}},
        .nbytes = r.nbytes,
        .high = s->high,
        .used = s->high, /* `used` and `ndirty` matter to those who give pages back */
        .nlive = s->nlive,
    };
    h->spans.chunks = &h->chunks; /* object_max is 0: there are none */
}

static void store(const mem_heap *m, const struct heap *h)
{
    const struct ledger *l = &h->chunks.ledger;
    *(struct stored *)part(m, m->state) = (struct stored){
        .tree = {l->b.tree[0], l->b.tree[1]},
        .nnodes = l->b.nnodes,
        .top = l->b.top,
        .high = l->high,
        .nlive = l->nlive,
    };
}

/* --- going in and out ---------------------------------------------------------- */

/* A call at work in a heap. */
struct visit {
    mem_heap *m;
    struct heap *h;
    struct heap view;
};

static enum mem_result enter(mem_heap *m, struct visit *v)
{
    if (m == NULL || (uintptr_t)m % ALIGN != 0 || m->magic != MAGIC)
        return say(MEM_NO_HEAP);
    if (m->lock == 0 ? m->is_walked : pthread_mutex_lock(lock_of(m)) == EDEADLK)
        return say(MEM_BUSY);
    v->m = m;
    v->h = m->has_spans ? part(m, m->state) : &v->view;
    if (!m->has_spans)
        load(m, v->h);
    return MEM_OK;
}

static void leave(const struct visit *v)
{
    if (!v->m->has_spans)
        store(v->m, v->h);
    if (v->m->lock != 0)
        pthread_mutex_unlock(lock_of(v->m));
}

/* --- making heaps ------------------------------------------------------------ */

static bool options_exist(const struct mem_options *o)
{
    return (o->flags & ~(unsigned)FLAGS) == 0 && (unsigned)o->style <= MEM_FIRST_FIT;
}

/* Puts a part behind those that are there. */
static uint16_t place_part(mem_heap *m, size_t nbytes)
{
    uint16_t at = m->region;
    m->region = (uint16_t)(m->region + ceil_div(nbytes, sizeof(void *)) * sizeof(void *));
    return at;
}

static void lay_out(mem_heap *m, const struct mem_options *o)
{
    m->region = sizeof *m;
    if ((o->flags & MEM_SINGLE_THREADED) == 0)
        m->lock = place_part(m, sizeof(pthread_mutex_t));
    if (o->limit != 0 || o->on_exhausted != NULL || o->on_refused != NULL)
        m->extras = place_part(m, sizeof(struct extras));
    m->has_spans = m->nbytes >= WITH_SPANS;
    m->state = place_part(m, m->has_spans ? sizeof(struct heap) : sizeof(struct stored));
    m->region = (uint16_t)(ceil_div(m->region, ALIGN) * ALIGN);
}

static void open_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK); /* a visitor that calls */
    pthread_mutex_init(lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

static mem_heap *open_heap(void *memory, size_t nbytes, const struct mem_options *o, bool is_mapped)
{
    mem_heap *m = memory;
    *m = (mem_heap){.magic = MAGIC,
                    .nbytes = nbytes,
                    .flags = (uint8_t)o->flags,
                    .style = (uint8_t)o->style,
                    .fill_new = o->fill_new,
                    .fill_freed = o->fill_freed,
                    .is_mapped = is_mapped};
    lay_out(m, o);
    if (m->lock != 0)
        open_lock(lock_of(m));
    if (m->extras != 0)
        *extras_of(m) = (struct extras){o->limit, o->on_exhausted, o->on_refused, o->context};
    struct heap small, *h = m->has_spans ? part(m, m->state) : &small;
    heap_open_single(h, region_of(m), !is_mapped);
    if (!m->has_spans)
        store(m, h);
    return m;
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
    if (buffer == NULL || (uintptr_t)buffer % ALIGN != 0)
        return null(MEM_BAD_BUFFER);
    if (nbytes < MEM_HEAP_MIN)
        return null(MEM_BAD_SIZE);
    if (nbytes > MEM_HEAP_MAX)
        return null(MEM_TOO_LARGE);
    if (!options_exist(o))
        return null(MEM_BAD_OPTIONS);
    return open_heap(buffer, nbytes - nbytes % ALIGN, o, false);
}

MEM_API enum mem_result mem_heap_destroy(mem_heap *heap)
{
    struct visit v;
    enum mem_result result = enter(heap, &v);
    if (result != MEM_OK)
        return result;
    leave(&v);
    if (heap->lock != 0)
        pthread_mutex_destroy(lock_of(heap));
    heap->magic = 0;
    if (heap->is_mapped)
        os_unmap(heap, heap->nbytes);
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
    size_t limit = m->extras == 0 ? 0 : extras_of(m)->limit;
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
    enum mem_result result = enter(m, &v);
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
    const struct extras *e = extras_of(m);
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
    bool is_heap = m != NULL && (uintptr_t)m % ALIGN == 0 && m->magic == MAGIC;
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
    if (align > ALIGN && style != MEM_ANY_FIT)
        style = MEM_BEST_FIT;
    return allocate(heap, &(struct wish){size, align, style, false});
}

MEM_API void *mem_alloc_fit(mem_heap *heap, size_t size, size_t align, enum mem_style style)
{
    if (!is_power_of_two(align))
        return null(MEM_BAD_ALIGNMENT);
    if ((unsigned)style > MEM_FIRST_FIT ||
        (align > ALIGN && style != MEM_ANY_FIT && style != MEM_BEST_FIT))
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
    *found = (struct mem_piece){h->chunks.region.base + start, nbytes, false};
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
    const struct extras *e = extras_of(m);
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
    enum mem_result result = enter(m, &v);
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
    enum mem_result result = enter(m, &v);
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

MEM_API enum mem_result mem_find_in(mem_heap *heap, const void *address, struct mem_piece *found)
{
    struct visit v;
    struct object object;
    enum mem_result result = enter(heap, &v);
    if (result != MEM_OK)
        return result;
    result = verdict(&v, address, heap_find_locked(v.h, address, &object));
    if (result == MEM_INSIDE)
        result = MEM_OK;
    if (result == MEM_OK)
        *found = (struct mem_piece){object.start, object.size, true};
    else if (result == MEM_FREE)
        find_free(v.h, address, found);
    leave(&v);
    return result == MEM_FREE ? MEM_OK : say(result);
}

MEM_API enum mem_result mem_walk(mem_heap *heap, mem_visitor visit, void *context)
{
    struct visit v;
    struct piece p;
    bool more = true;
    enum mem_result result = enter(heap, &v);
    if (result != MEM_OK)
        return result;
    heap->is_walked = true;
    for (size_t at = 0; more && heap_piece_locked(v.h, at, &p); at += p.nbytes) {
        bool live = p.kind == PIECE_OBJECT;
        if (p.kind != PIECE_OURS)
            more = visit(&(struct mem_piece){p.start, live ? p.size : p.nbytes, live}, context);
    }
    heap->is_walked = false;
    leave(&v);
    return MEM_OK;
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

static struct mem_statistics count(const struct visit *v)
{
    struct mem_statistics s = {.region_bytes = v->m->nbytes, .peak_bytes = v->m->peak_bytes};
    struct piece p;
    s.limit = v->m->extras == 0 ? 0 : extras_of(v->m)->limit;
    for (size_t at = 0; heap_piece_locked(v->h, at, &p); at += p.nbytes)
        count_piece(&p, &s);
    s.metadata_bytes = s.region_bytes - s.live_bytes - s.slack_bytes - s.free_bytes;
    return s;
}

MEM_API enum mem_result mem_stats(mem_heap *heap, struct mem_statistics *stats)
{
    struct visit v;
    enum mem_result result = enter(heap, &v);
    if (result != MEM_OK)
        return result;
    *stats = count(&v);
    leave(&v);
    return MEM_OK;
}

MEM_API enum mem_result mem_check(mem_heap *heap)
{
    struct visit v;
    enum mem_result result = enter(heap, &v);
    if (result != MEM_OK)
        return result;
    result = result_of(check_heap_locked(v.h));
    if (result == MEM_OK) {
        struct mem_statistics s = count(&v);
        bool agrees = s.live_objects == heap->nlive && s.live_bytes == heap->live_bytes; /* M3 */
        result = agrees ? MEM_OK : MEM_DAMAGED;
    }
    leave(&v);
    return say(result);
}

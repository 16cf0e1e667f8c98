/* SPDX-License-Identifier: MIT
 *
 * open.c - heaps of the caller's own come and go: made, destroyed, attached, detached.
 */
#include <pthread.h>

#include "heaps/guard.h"
#include "heaps/fork.h"
#include "heaps/header.h"
#include "base/os.h"
#include "heaps/inspect.h"
#include "heaps/registry.h"
#include "heaps/session.h"

enum {
    FLAGS = MEM_SINGLE_THREADED | MEM_FILL_NEW | MEM_FILL_FREED | MEM_GUARD_PAGES | MEM_SLOTS |
            MEM_CHECK_CALLS
};
enum { GUARDED_PAGES = 6 }; /* more than other heaps: four guards, header, the first records */

static bool options_exist(const struct mem_options *o)
{
    return (o->flags & ~(unsigned)FLAGS) == 0 && (unsigned)o->style <= MEM_FIRST_FIT;
}

/* --- in and out of the registry --------------------------------------------------- */

static bool enrol(mem_heap *m)
{
    fork_register_handlers();
    const struct heap *h = m->has_spans ? header_part(m, m->state) : NULL;
    struct heap_range range = {(uintptr_t)m, m->nbytes, m, h, 0, 0};
    return registry_add(&range);
}

/* --- making them --------------------------------------------------------------- */

/* Memory comes as it is touched. The size is rounded up to whole pages. */
static bool reserve(struct region *r, size_t nbytes)
{
    size_t page = os_page_bytes();
    r->nbytes = ceil_div(nbytes, page) * page;
    r->base = os_reserve(r->nbytes);
    return r->base != NULL;
}

/* All that is guarded but the fence is there already (create). */
static bool open_inside(mem_heap *m)
{
    struct heap small, *h = m->has_spans ? header_part(m, m->state) : &small;
    struct region r = header_region(m);
    if (m->guard_shift == 0)
        heap_open_single(h, r, !m->is_mapped, header_has_hcache(m));
    else
        heap_open_guarded(h, r, (uint32_t)(header_guard_bytes(m) / GRANULE_BYTES));
    if (m->guard_shift != 0 && !guard_open(&r, &h->chunks.ledger))
        return false;
    if (header_has_hcache(m))
        hcache_open(header_hcache(m), h, hcache_bytes(m->nbytes));
    if (!m->has_spans)
        header_store(m, h);
    header_sum_numbers(m);
    return true;
}

static mem_heap *open_heap(void *memory, size_t nbytes, const struct mem_options *o, bool is_mapped)
{
    mem_heap *m = memory;
    header_make(m, nbytes, o, is_mapped);
    if (m->lock != 0)
        session_make_lock(m);
    if (open_inside(m) && enrol(m))
        return m;
    struct region mapping = header_mapping(m);
    m->magic = 0;
    if (is_mapped)
        os_unmap(mapping.base, mapping.nbytes);
    return result_null(MEM_NO_MEMORY);
}

/* [guard][header][guard][region][guard]: all but the one in the region. */
static mem_heap *open_guarded(const struct region *r, const struct mem_options *o)
{
    size_t page = os_page_bytes();
    unsigned char *header = r->base + page;
    if (os_forbid(r->base, page) && os_forbid(header + page, page) &&
        os_forbid(r->base + r->nbytes - page, page))
        return open_heap(header, r->nbytes - 2 * page, o, true);
    os_unmap(r->base, r->nbytes);
    return result_null(MEM_NO_MEMORY);
}

static const struct mem_options no_options;

MEM_API mem_heap *mem_heap_create(size_t nbytes, const struct mem_options *options)
{
    const struct mem_options *o = options == NULL ? &no_options : options;
    struct region r;
    if (nbytes == 0)
        return result_null(MEM_BAD_SIZE);
    if (nbytes > MEM_HEAP_MAX)
        return result_null(MEM_TOO_LARGE);
    if (!options_exist(o))
        return result_null(MEM_BAD_OPTIONS);
    bool guarded = (o->flags & MEM_GUARD_PAGES) != 0;
    size_t more = guarded ? GUARDED_PAGES * os_page_bytes() : 0;
    if (guarded && nbytes > PART_BYTES - more)
        return result_null(MEM_TOO_LARGE);
    if (!reserve(&r, nbytes + more))
        return result_null(MEM_NO_MEMORY);
    if (guarded)
        return open_guarded(&r, o);
    return open_heap(r.base, r.nbytes, o, true);
}

MEM_API mem_heap *mem_heap_in(void *buffer, size_t nbytes, const struct mem_options *options)
{
    const struct mem_options *o = options == NULL ? &no_options : options;
    if (buffer == NULL || (uintptr_t)buffer % HEAP_ALIGN != 0)
        return result_null(MEM_BAD_BUFFER);
    if (nbytes < MEM_HEAP_MIN)
        return result_null(MEM_BAD_SIZE);
    if (nbytes > PART_BYTES)
        return result_null(MEM_TOO_LARGE);
    if (!options_exist(o) || (o->flags & MEM_GUARD_PAGES) != 0)
        return result_null(MEM_BAD_OPTIONS);
    return open_heap(buffer, nbytes - nbytes % HEAP_ALIGN, o, false);
}

MEM_API enum mem_result mem_heap_destroy(mem_heap *heap)
{
    struct session v;
    enum mem_result result = session_open(heap, &v);
    if (result != MEM_OK)
        return result;
    session_close(&v);
    bool may_go = registry_remove(heap);
    if (heap->lock != 0)
        pthread_mutex_destroy(lock_of(heap));
    heap->magic = 0;
    struct region mapping = header_mapping(heap);
    if (heap->is_mapped && may_go)
        os_unmap(mapping.base, mapping.nbytes);
    return MEM_OK;
}

/* --- those of others -------------------------------------------------------- */

MEM_API mem_heap *mem_heap_of_process(void)
{
    mem_heap *m = foreign_handle(FOREIGN_MALLOC);
    if (m == NULL)
        result_set(foreign_is_of_another_version() ? MEM_BAD_VERSION : MEM_NO_HEAP);
    return m;
}

MEM_API mem_heap *mem_heap_of_classic(void)
{
    mem_heap *m = foreign_handle(FOREIGN_CLASSIC);
    if (m == NULL)
        result_set(MEM_NO_HEAP);
    return m;
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
    h->has_tcaches = false;
    h->keeps_pages = true;
    h->counters = NULL;
    return h->spans.changes % 2 == 0 && c->ledger.changes % 2 == 0 && ledger_is_sane(&c->ledger) &&
           spans_move(&h->spans, delta);
}

/* With spans, and so with addresses: all are moved, and back again if it is of no use. */
static enum mem_result relocate(mem_heap *m)
{
    struct session v = {.m = m, .h = header_part(m, m->state)};
    struct heap was = *v.h;
    if (!move_to(m, v.h, was.chunks.region.base)) {
        size_t moved = (uintptr_t)v.h->chunks.region.base - (uintptr_t)was.chunks.region.base;
        bool slices = was.spans.nheld > 0 && moved % SLICE_BYTES != 0;
        *v.h = was;
        return slices ? MEM_BAD_BUFFER : MEM_DAMAGED;
    }
    if (inspect_fault(&v) == NULL) {
        if (header_has_hcache(m))
            hcache_close(header_hcache(m), v.h); /* they are where they were before the move */
        return MEM_OK;
    }
    spans_move_back(&v.h->spans, (ptrdiff_t)((uintptr_t)v.h->chunks.region.base -
                                             (uintptr_t)was.chunks.region.base));
    *v.h = was;
    return MEM_DAMAGED;
}

static enum mem_result examine(mem_heap *m, size_t nbytes, const struct mem_options *o)
{
    struct session v = {.m = m, .h = &v.view};
    enum mem_result result = header_examine(m, nbytes);
    if (result != MEM_OK)
        return result;
    if (m->nbytes > PART_BYTES)
        return MEM_TOO_LARGE;
    if (registry_has(m))
        return MEM_BUSY;
    if (m->extras == 0 && (o->on_exhausted != NULL || o->on_refused != NULL))
        return MEM_BAD_OPTIONS;
    if (m->has_spans)
        return relocate(m);
    header_load(m, v.h);
    return inspect_fault(&v) == NULL ? MEM_OK : MEM_DAMAGED;
}

MEM_API mem_heap *mem_heap_attach(void *buffer, size_t nbytes, const struct mem_options *options)
{
    const struct mem_options *o = options == NULL ? &no_options : options;
    mem_heap *m = buffer;
    if (m == NULL || (uintptr_t)m % HEAP_ALIGN != 0)
        return result_null(MEM_BAD_BUFFER);
    enum mem_result result = examine(m, nbytes, o);
    if (result != MEM_OK)
        return result_null(result);
    header_make_anew(m, o);
    if (m->lock != 0)
        session_make_lock(m);
    return enrol(m) ? m : result_null(MEM_NO_MEMORY);
}

MEM_API enum mem_result mem_heap_detach(mem_heap *heap)
{
    struct session v;
    enum mem_result result = session_open(heap, &v);
    if (result != MEM_OK)
        return result;
    session_close(&v);
    if (heap->is_mapped)
        return result_set(MEM_BAD_BUFFER);
    registry_remove(heap);
    if (heap->lock != 0)
        pthread_mutex_destroy(lock_of(heap));
    heap->magic = HEAP_DETACHED;
    return MEM_OK;
}

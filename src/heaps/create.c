/* SPDX-License-Identifier: MIT
 *
 * create.c - a heap of the caller's own is made and destroyed. What it has at its low end is in
 * header.h; the promises are in mem_heap.h.
 *
 *     mem_heap_create    memory from the system: whole pages, all zero; guard pages on request;
 *                        a large heap is only reserved at first, except for its ends
 *     mem_heap_in        memory of the caller's, which may hold anything
 *         header_make    the header: modes, sections, checksum of the constants
 *         open_inside    struct heap and hcache in it, or the numbers of a struct heap
 *         create_register    now lookups find it, and forks wait for it
 *
 *     mem_heap_destroy   out of the registry; waits for lookups; unmaps, if it was mapped
 *
 * Until a heap is registered no other thread knows of it, so that nothing up to then needs a lock
 * or an order.
 */
#include "heaps/create.h"

#include "base/os.h"
#include "base/poison.h"
#include "core/heap.h"
#include "core/watch.h"
#include "heaps/fork.h"
#include "heaps/guard.h"
#include "heaps/hcache.h"
#include "heaps/parts.h"
#include "heaps/registry.h"
#include "heaps/result.h"
#include "heaps/session.h"
#include "heaps/stored.h"

/* --- options ---------------------------------------------------------------------- */

/* A bit or a style that this version does not know may mean anything to the caller: it is
 * refused. */
static bool options_exist(const struct mem_options *o)
{
    return (o->flags & ~(unsigned)ALL_FLAGS) == 0 && (unsigned)o->style <= MEM_FIRST_FIT;
}

const struct mem_options *create_options(const struct mem_options *options)
{
    static const struct mem_options no_options;
    return options == NULL ? &no_options : options;
}

/* --- in and out of the registry --------------------------------------------------- */

/* A lookup of an address in the heap begins with the struct heap, if there is one in memory. */
bool create_register(mem_heap *m)
{
    const struct heap *h = m->has_spans ? header_at(m, m->state) : NULL;
    assert(header_is_whole(m));
    struct heap_range range = {(uintptr_t)m, m->nbytes, m, h, 0, 0, RANGE_IN_USE};
    fork_register_handlers();
    return registry_add(&range);
}

/* First the registry: after that no lookup reads the header, and no fork takes the lock. */
bool create_unregister(mem_heap *m)
{
    return registry_remove(m);
}

/* --- what was there before, for memcheck ------------------------------------------- */

/* Memcheck ends if one block of it lies in another, or two overlap. A program may well make a heap
 * in an object, or where an older heap was that it has never destroyed; so what was told of these
 * is taken back before a new heap begins.
 *
 * Where that is about to be. The registry's lock guards it. */
static struct region beginning;

/* A heap that the new one covers, wholly or in part, is none any longer, and nothing says where its
 * objects were: each granule may be the start of one. */
static bool forget_covered(struct heap_range *p)
{
    uintptr_t base = (uintptr_t)beginning.base, end = base + beginning.nbytes;
    uintptr_t from = p->base, to = from + p->nbytes;
    bool is_beside = to <= base || from >= end, is_around = from < base && to > end;
    if (is_beside || is_around)
        return true;
    for (; from < to; from += GRANULE_BYTES)
        memcheck_forget((void *)from, GRANULE_BYTES);
    return true;
}

/* The object that the memory lies in is not told of again when the new heap has ended: memcheck
 * then knows it as memory, and not as an object. */
void create_make_room(void *memory, size_t nbytes)
{
    struct mem_piece around;
    if (mem_find(memory, &around) == MEM_OK && around.live)
        memcheck_forget(around.start, around.size);
    registry_lock();
    beginning = (struct region){.base = memory, .nbytes = nbytes};
    (void)registry_all_locked(forget_covered);
    registry_unlock();
}

/* --- making a heap ----------------------------------------------------------------- */

/* Reserves whole pages, and opens them or, if in steps, the ends of part 0. What is not open can be
 * read, since the caller may copy a heap to attach the copy. That is not possible for a heap with
 * several parts: there it is a fault, and mlockall passes it over. */
static bool reserve(struct region *r, size_t nbytes, bool in_steps)
{
    r->nbytes = os_whole_pages(nbytes);
    assert(r->nbytes >= nbytes && r->nbytes > 0); /* no wrap */
    bool has_parts = r->nbytes > PART_BYTES;
    r->base = !in_steps   ? os_reserve(r->nbytes)
              : has_parts ? os_reserve_closed(r->nbytes)
                          : os_reserve_readable(r->nbytes);
    if (r->base == NULL)
        return false;
    if (!in_steps || region_open_ends(r->base, has_parts ? PART_BYTES : r->nbytes))
        return true;
    os_unmap(r->base, r->nbytes);
    return false;
}

/* Makes the struct heap, in memory or to be stored; and what depends on it: the hcache, the
 * checksum. Returns false if the system refuses the guard page between objects and records; the
 * others are there already. */
static bool open_inside(mem_heap *m)
{
    struct heap small, *h = m->has_spans ? header_at(m, m->state) : &small;
    struct region r = header_region(m);
    assert(header_is_whole(m) && (uintptr_t)r.base % HEAP_ALIGN == 0);
    parts_make(m, 0, h);
    if (header_has_guards(m) && !guard_open(&r, &h->chunks.ledger))
        return false;
    if (header_has_hcache(m))
        hcache_open(header_hcache(m), h, hcache_bytes(m->nbytes));
    if (!m->has_spans)
        stored_save(m, h);
    header_sum_numbers(m);
    assert(m->nlive == 0 && m->live_bytes == 0 && m->changes == 0);
    return true;
}

/* Makes a heap in memory that is the caller's, or mapped for it. Unmaps that if it fails. */
static mem_heap *open_heap(void *memory, size_t nbytes, const struct mem_options *o, bool is_mapped)
{
    mem_heap *m = memory;
    if (memcheck_is_there)
        create_make_room(memory, nbytes);
    header_make(m, nbytes, o, is_mapped);
    if (header_has_lock(m))
        session_make_lock(m);
    if (open_inside(m) && create_register(m))
        return m;
    struct region mapping = header_mapping(m);
    m->magic = 0;
    if (is_mapped)
        os_unmap(mapping.base, mapping.nbytes);
    return result_null(MEM_NO_MEMORY);
}

/*  [guard][header][guard][region ... ][guard]: the heap is all between the first and the last. */
static mem_heap *open_guarded(const struct region *r, const struct mem_options *o)
{
    size_t page = os_page_bytes();
    assert(r->nbytes > GUARD_MORE_PAGES * page);
    if (guard_surround(r))
        return open_heap(r->base + page, r->nbytes - 2 * page, o, true);
    os_unmap(r->base, r->nbytes);
    return result_null(MEM_NO_MEMORY);
}

/* --- the calls ------------------------------------------------------------------- */

/* Guard pages are added to what the caller asks for, so that the heap holds as much as without. */
MEM_API mem_heap *mem_heap_create(size_t nbytes, const struct mem_options *options)
{
    const struct mem_options *o = create_options(options);
    struct region r;
    if (nbytes == 0)
        return result_null(MEM_BAD_SIZE);
    if (nbytes > MEM_HEAP_MAX)
        return result_null(MEM_TOO_LARGE);
    if (!options_exist(o))
        return result_null(MEM_BAD_OPTIONS);
    bool guarded = (o->flags & MEM_GUARD_PAGES) != 0;
    size_t more = guarded ? GUARD_MORE_PAGES * os_page_bytes() : 0;
    if (guarded && nbytes > PART_BYTES - more)
        return result_null(MEM_TOO_LARGE);
    if (!reserve(&r, nbytes + more, nbytes > OPEN_AT_ONCE && !guarded))
        return result_null(MEM_NO_MEMORY);
    if (guarded)
        return open_guarded(&r, o);
    return open_heap(r.base, r.nbytes, o, true);
}

/* Guard pages need whole pages, and parts need memory that was never written: both are for
 * mappings. */
MEM_API mem_heap *mem_heap_in(void *buffer, size_t nbytes, const struct mem_options *options)
{
    const struct mem_options *o = create_options(options);
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

/* Without either of the two, nothing was hidden. Only parts that are open have objects. */
void create_show_all(struct session *v)
{
    size_t nparts = header_has_parts(v->m) ? header_nopen(v->m) : 1;
    if (!UNDER_ASAN && !memcheck_is_there)
        return;
    for (size_t i = 0; i < nparts && session_part(v, i); i++) {
        const struct region *r = &v->h->chunks.region;
        unpoison(r->base, r->nbytes);
        if (memcheck_is_there) {
            watch_ended(v->h);
            memcheck_show(r->base, r->nbytes);
        }
    }
}

/* The session finds out whether the heap is sound and not being walked. If the system cannot say
 * that no lookup reads the heap any longer, its mapping stays. */
MEM_API enum mem_result mem_heap_destroy(mem_heap *heap)
{
    struct session v;
    enum mem_result result = session_open(heap, &v);
    if (result != MEM_OK)
        return result;
    create_show_all(&v);
    session_close(&v);
    struct region mapping = header_mapping(heap);
    bool is_mapped = heap->is_mapped;
    bool unseen = create_unregister(heap);
    heap->magic = 0;
    if (unseen && is_mapped)
        os_unmap(mapping.base, mapping.nbytes);
    return MEM_OK;
}

/* SPDX-License-Identifier: MIT */
#include "heaps/header.h"

#include "base/os.h"

enum { VERSION = 3 };

/* What differs in one word makes another sum: each step can be undone. What differs in more of
 * them is not to cancel out, however regular it is, so the steps are no mere rotations. (As in
 * the mixing of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014.) */
RACING static uint64_t add_to_sum(uint64_t sum, const void *words, size_t nbytes)
{
    const unsigned char *p = words;
    for (size_t i = 0; i < nbytes; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, p + i, sizeof word);
        sum = (sum ^ word) * 0x9E3779B97F4A7C15;
        sum ^= sum >> 32;
    }
    return sum;
}

RACING static uint32_t folded(uint64_t sum)
{
    return (uint32_t)sum; /* the upper half is in the lower one */
}

RACING static uint32_t sum_of_constants(const mem_heap *m)
{
    enum { FIRST = offsetof(struct mem_heap, nbytes), END = offsetof(struct mem_heap, live_bytes) };
    static_assert((END - FIRST) % sizeof(uint64_t) == 0, "whole words");
    return folded(add_to_sum(HEAP_MAGIC, &m->nbytes, END - FIRST));
}

static size_t stored_bytes(const mem_heap *m)
{
    return sizeof(struct stored) + (m->guard_shift == 0 ? 0 : sizeof(struct stored_guard));
}

static uint32_t sum_of_numbers(const mem_heap *m)
{
    static_assert(sizeof(struct stored_guard) % sizeof(uint64_t) == 0, "whole words");
    static_assert(sizeof(struct stored) % sizeof(uint64_t) == 0, "whole words");
    if (header_has_hcache(m))
        return 0;
    uint64_t first = (uint64_t)HEAP_MAGIC << 32 | m->nlive; /* all zero is not whole */
    uint64_t sum = add_to_sum(first, &m->live_bytes, 2 * sizeof m->live_bytes);
    if (m->nbytes > PART_BYTES)
        sum += *header_nopen(m);
    if (!m->has_spans)
        sum = add_to_sum(sum, header_part(m, m->state), stored_bytes(m));
    return folded(sum);
}

static uint64_t sum_of_extras(const struct extras *e)
{
    return add_to_sum(HEAP_MAGIC, e, offsetof(struct extras, sum));
}

/* --- making it ------------------------------------------------------------------- */

/* Puts a part behind those that are there. */
static uint16_t place_part(mem_heap *m, size_t nbytes)
{
    uint16_t at = m->region;
    m->region = (uint16_t)(m->region + ceil_div(nbytes, sizeof(void *)) * sizeof(void *));
    return at;
}

/* Nothing else is to be done when an object comes or goes. */
static bool is_plain(const struct mem_options *o)
{
    unsigned more = MEM_FILL_NEW | MEM_FILL_FREED | MEM_GUARD_PAGES | MEM_CHECK_CALLS;
    return o->style == MEM_ANY_FIT && (o->flags & more) == 0 && o->limit == 0;
}

static void lay_out(mem_heap *m, const struct mem_options *o)
{
    m->region = sizeof *m;
    if ((o->flags & MEM_SINGLE_THREADED) == 0)
        m->lock = place_part(m, sizeof(pthread_mutex_t));
    if (o->limit != 0 || o->on_exhausted != NULL || o->on_refused != NULL)
        m->extras = place_part(m, sizeof(struct extras));
    m->has_spans = m->nbytes >= (o->flags & MEM_SLOTS ? WITH_SMALL_SPANS : WITH_SPANS);
    if (m->has_spans && m->nbytes <= PART_BYTES && is_plain(o))
        m->flags |= HAS_HCACHE;
    m->state = place_part(m, m->has_spans ? sizeof(struct heap) : stored_bytes(m));
    if (header_has_hcache(m))
        (void)place_part(m, hcache_bytes(m->nbytes));
    if (m->nbytes > PART_BYTES)                       /* and so not quick */
        (void)place_part(m, sizeof *header_nopen(m)); /* right behind the struct heap */
    m->region = (uint16_t)(ceil_div(m->region, HEAP_ALIGN) * HEAP_ALIGN);
}

static uint32_t magic_of(const mem_heap *m)
{
    if (!header_has_hcache(m))
        return HEAP_MAGIC;
    return m->lock == 0 ? HEAP_FAST : HEAP_FAST_LOCKED;
}

void header_make(mem_heap *m, size_t nbytes, const struct mem_options *o, bool is_mapped)
{
    memset(m, 0, sizeof *m);
    m->version = VERSION;
    m->nbytes = nbytes;
    m->flags = (uint8_t)o->flags;
    m->style = (uint8_t)o->style;
    m->fill_new = o->fill_new;
    m->fill_freed = o->fill_freed;
    m->is_mapped = is_mapped;
    if (o->flags & MEM_GUARD_PAGES)
        m->guard_shift = (uint8_t)lowest_bit(os_page_bytes());
    lay_out(m, o);
    m->magic = magic_of(m);
    m->sum = sum_of_constants(m);
    if (m->nbytes > PART_BYTES)
        *header_nopen(m) = 1;
    struct extras *e = header_part(m, m->extras);
    if (e == NULL)
        return;
    memset(e, 0, sizeof *e);
    *e = (struct extras){o->limit, o->on_exhausted, o->on_refused, o->context, 0};
    e->sum = sum_of_extras(e);
}

/* --- is it whole? ------------------------------------------------------------------ */

RACING bool header_is_whole(const mem_heap *m)
{
    return header_is_here(m) && m->sum == sum_of_constants(m);
}

enum mem_result header_examine(const mem_heap *m, size_t nbytes)
{
    if (nbytes < MEM_HEAP_MIN)
        return MEM_BAD_SIZE;
    if (!header_is_here(m) && m->magic != HEAP_DETACHED)
        return MEM_NO_HEAP;
    if (m->version != VERSION)
        return MEM_BAD_VERSION;
    if (m->sum != sum_of_constants(m))
        return MEM_DAMAGED;
    if (m->guard_shift != 0)
        return MEM_BAD_OPTIONS;
    return m->nbytes <= nbytes ? MEM_OK : MEM_BAD_SIZE;
}

void header_make_anew(mem_heap *m, const struct mem_options *o)
{
    struct extras *e = header_part(m, m->extras);
    m->magic = magic_of(m);
    m->is_mapped = false;
    m->is_walked = false;
    m->sum = sum_of_constants(m);
    if (e == NULL)
        return;
    e->on_exhausted = o->on_exhausted;
    e->on_refused = o->on_refused;
    e->context = o->context;
    e->sum = sum_of_extras(e);
}

bool header_numbers_are_whole(const mem_heap *m)
{
    return m->sum_of_numbers == sum_of_numbers(m);
}

void header_sum_numbers(mem_heap *m)
{
    m->sum_of_numbers = sum_of_numbers(m);
}

bool header_extras_are_whole(const mem_heap *m)
{
    const struct extras *e = header_part(m, m->extras);
    return e == NULL || e->sum == sum_of_extras(e);
}

struct extras *header_extras(const mem_heap *m)
{
    return header_extras_are_whole(m) ? header_part(m, m->extras) : NULL;
}

/* --- parts ------------------------------------------------------------------------- */

RACING static void *part_at(const mem_heap *m, size_t part)
{
    return part == 0 ? header_part(m, m->state) : header_part(m, part * PART_BYTES);
}

RACING static struct region part_region(const mem_heap *m, size_t part)
{
    size_t rest = m->nbytes - part * PART_BYTES;
    size_t nbytes = (rest < PART_BYTES ? rest : PART_BYTES) - PART_HEAD;
    return (struct region){header_part(m, part * PART_BYTES + PART_HEAD), nbytes, true};
}

RACING struct heap *header_heap(const mem_heap *m, size_t part, struct heap *view)
{
    if (part == 0 || part < __atomic_load_n(header_nopen(m), __ATOMIC_ACQUIRE))
        return part_at(m, part);
    heap_open_single(view, part_region(m, part), false, false);
    return view;
}

struct heap *header_open(mem_heap *m, size_t part)
{
    struct heap *h = part_at(m, part);
    uint32_t *nopen = header_nopen(m);
    if (part < *nopen)
        return h;
    heap_open_single(h, part_region(m, part), false, false);
    __atomic_store_n(nopen, *nopen + 1, __ATOMIC_RELEASE);
    return h;
}

/* In parts that are not open nobody has written [HD6]. */
size_t header_resident_bytes(const mem_heap *m)
{
    size_t nbytes = m->nbytes;
    if (nbytes > PART_BYTES && *header_nopen(m) < header_nparts(m))
        nbytes = *header_nopen(m) * PART_BYTES;
    return m->is_mapped ? os_resident_bytes(m, nbytes) : nbytes;
}

/* --- the heap in it ---------------------------------------------------------------- */

RACING static struct stored_guard *stored_guard_of(const mem_heap *m)
{
    return header_part(m, m->state + sizeof(struct stored));
}

/* A bit of `high` changes at least five bytes of it. */
RACING static uint64_t seal_of(uint32_t low, uint32_t high)
{
    return (((uint64_t)low << 32 | high) ^ HEAP_MAGIC) * 0x9E3779B97F4A7C15;
}

/* False: it has been written to, or is changing; then none is sane. */
RACING static bool load_guard(const mem_heap *m, struct ledger *l)
{
    const struct stored_guard *f = stored_guard_of(m);
    uint32_t low = NOW(f->low), high = NOW(f->high);
    bool whole = NOW(f->seal) == seal_of(low, high) && (size_t)high * GRANULE_BYTES <= l->nbytes;
    l->guard.page = (uint32_t)(header_guard_bytes(m) / GRANULE_BYTES);
    ledger_set_guard(l, whole ? low : 0, whole ? high : 0);
    return whole;
}

void header_load(const mem_heap *m, struct heap *h)
{
    const struct stored *s = header_part(m, m->state);
    struct region r = header_region(m);
    *h = (struct heap){.keeps_pages = true};
    h->chunks.region = r;
    h->chunks.ledger = (struct ledger){
        .b = {.end = r.base + r.nbytes,
              .nnodes = s->nnodes,
              .top = s->top,
              .sum = s->sum,
              .tree = {{s->nwords[0], s->root[0], s->height[0]},
                       {s->nwords[1], s->root[1], s->height[1]}},
              .room = r.nbytes},
        .nbytes = r.nbytes,
        .high = s->high,
        .used = s->high, /* `used` and `ndirty` matter to those who give pages back */
        .nlive = s->nlive,
    };
    h->spans.chunks = &h->chunks; /* object_max is 0: there are none */
    if (m->guard_shift != 0)
        (void)load_guard(m, &h->chunks.ledger);
}

void header_store(mem_heap *m, const struct heap *h)
{
    const struct ledger *l = &h->chunks.ledger;
    const struct tree *tree = l->b.tree;
    *(struct stored *)header_part(m, m->state) = (struct stored){
        .nwords = {tree[0].nwords, tree[1].nwords},
        .root = {tree[0].root, tree[1].root},
        .height = {(uint8_t)tree[0].height, (uint8_t)tree[1].height},
        .nnodes = l->b.nnodes,
        .top = l->b.top,
        .sum = l->b.sum,
        .high = l->high,
        .nlive = l->nlive,
    };
    if (m->guard_shift != 0)
        *stored_guard_of(m) = (struct stored_guard){.low = l->guard.low,
                                                    .high = l->guard.high,
                                                    .seal = seal_of(l->guard.low, l->guard.high)};
}

RACING static enum heap_result lookup_stored(const mem_heap *m, size_t offset,
                                             struct lookup_result *p)
{
    const struct stored *s = header_part(m, m->state);
    struct region r = header_region(m);
    uint32_t seen = changes_seen(&m->changes);
    struct ledger l = {.nbytes = r.nbytes};
    if (seen % 2 != 0)
        return HEAP_CHANGING;
    l.b.end = r.base + r.nbytes;
    l.b.nnodes = NOW(s->nnodes);
    l.b.top = NOW(s->top);
    l.b.tree[BY_ADDRESS].nwords = NOW(s->nwords[BY_ADDRESS]);
    l.b.tree[BY_ADDRESS].root = NOW(s->root[BY_ADDRESS]);
    l.b.tree[BY_ADDRESS].height = NOW(s->height[BY_ADDRESS]);
    l.high = NOW(s->high);
    if (m->guard_shift != 0 && !load_guard(m, &l))
        return is_unchanged(&m->changes, seen) ? HEAP_DAMAGED : HEAP_CHANGING;
    enum heap_result what = lookup_ledger(&l, r.base, offset, p);
    return is_unchanged(&m->changes, seen) ? what : HEAP_CHANGING;
}

RACING enum heap_result header_lookup(const mem_heap *m, const void *address,
                                      struct lookup_result *p)
{
    size_t offset = (uintptr_t)address - (uintptr_t)m;
    if (offset >= m->nbytes)
        return HEAP_NOT_OURS;
    if (offset < header_bytes(m))
        return HEAP_NO_OBJECT;
    if (!m->has_spans)
        return lookup_stored(m, offset - header_bytes(m), p);
    struct heap view;
    enum heap_result what =
        lookup_heap(header_heap(m, header_part_of(m, address), &view), address, p);
    return what == HEAP_NOT_OURS ? HEAP_NO_OBJECT : what; /* the struct heap of a part */
}

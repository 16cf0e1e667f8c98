/* SPDX-License-Identifier: MIT
 *
 * header.c - lays out a heap's header, and sums it. Invariants: header.h.
 *
 *     checksum        covers                                        renewed
 *     sum             nbytes ... guard_shift                        when made, and when attached
 *     sum_of_numbers  live_bytes, peak_bytes, nlive, nopen, the     at the end of each session
 *                     place of the guard, and the stored numbers    that may change the heap
 *                     of a heap without spans
 *     extras->sum     the limit and the callbacks                   when made, and when attached
 *     sum, detached   all that `sum` covers, the numbers, and the   when detached
 *                     struct heap
 *
 * A struct heap in memory has no checksum, nor have the numbers of a heap with an hcache: they
 * change too often. mem_check recounts them instead. The lock is in none, since other threads write
 * to it at any moment.
 */
#include "heaps/header.h"

#include "base/bits.h"
#include "base/memcheck.h"
#include "base/os.h"

enum { VERSION = 9 }; /* of the layout: it changes when struct mem_heap or its sections do */

/* --- checksums -------------------------------------------------------------------- */

/* Each step can be undone, so that inputs which differ in one word never share a sum. The multiply
 * and the shift also keep regular differences in several words from cancelling each other out,
 * which rotations do not. (As in the mixing of Steele, Lea and Flood, "Fast Splittable Pseudorandom
 * Number Generators", 2014.) */
RACING static uint64_t sum_words(uint64_t sum, const void *words, size_t nbytes)
{
    const unsigned char *p = words;
    assert(nbytes % sizeof(uint64_t) == 0);
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
    return (uint32_t)sum; /* the last step has mixed the upper half into this one */
}

/* From nbytes to is_mapped and guard_shift. The magic is not summed: it is compared with the four
 * that there are. */
RACING static uint32_t sum_of_constants(const mem_heap *m)
{
    enum { FIRST = offsetof(struct mem_heap, nbytes), END = offsetof(struct mem_heap, live_bytes) };
    static_assert((END - FIRST) % sizeof(uint64_t) == 0, "whole words");
    return folded(sum_words(HEAP_MAGIC, &m->nbytes, END - FIRST));
}

/* Returns how many bytes the section of the state has, in a heap without spans. */
static size_t stored_bytes(const mem_heap *m)
{
    return sizeof(struct stored) + (header_has_guards(m) ? sizeof(struct stored_guard) : 0);
}

/* A struct heap in memory is not summed, since it changes with each call; except for the place of
 * the guard, as nothing else says where the pages are that no call may touch. The seed keeps a
 * header that is all zero from being whole. */
static uint32_t sum_of_numbers(const mem_heap *m)
{
    static_assert(sizeof(struct stored_guard) % sizeof(uint64_t) == 0, "whole words");
    static_assert(sizeof(struct stored) % sizeof(uint64_t) == 0, "whole words");
    if (header_has_hcache(m))
        return 0;
    uint64_t first = (uint64_t)HEAP_MAGIC << 32 | m->nlive;
    uint64_t sum = sum_words(first, &m->live_bytes, 2 * sizeof m->live_bytes);
    if (header_has_parts(m))
        sum += header_nopen(m);
    if (header_has_guards(m) && m->has_spans) {
        const struct heap *h = header_at(m, m->state);
        static_assert(sizeof h->chunks.ledger.guard % sizeof(uint64_t) == 0, "whole words");
        sum = sum_words(sum, &h->chunks.ledger.guard, sizeof h->chunks.ledger.guard);
    }
    if (!m->has_spans)
        sum = sum_words(sum, header_at(m, m->state), stored_bytes(m));
    return folded(sum);
}

/* Nothing changes in a detached heap, so that its struct heap can be summed, too. */
static uint32_t sum_of_detached(const mem_heap *m)
{
    enum {
        FIRST = offsetof(struct mem_heap, live_bytes),
        END = offsetof(struct mem_heap, changes)
    };
    static_assert((END - FIRST) % sizeof(uint64_t) == 0, "whole words");
    static_assert(sizeof(struct heap) % sizeof(uint64_t) == 0, "whole words");
    uint64_t sum = sum_words(sum_of_constants(m), &m->live_bytes, END - FIRST);
    size_t nbytes = m->has_spans ? sizeof(struct heap) : stored_bytes(m);
    return folded(sum_words(sum, header_at(m, m->state), nbytes));
}

/* All 64 bits are kept, as a call jumps to the addresses that are summed here. */
static uint64_t sum_of_extras(const struct extras *e)
{
    return sum_words(HEAP_MAGIC, e, offsetof(struct extras, sum));
}

/* --- making a header --------------------------------------------------------------- */

/* Adds a section of nbytes behind those that are there. Returns where it is, in bytes from the
 * header; the region begins behind it now. */
static uint16_t add_section(mem_heap *m, size_t nbytes)
{
    uint16_t at = m->region;
    assert(at % sizeof(void *) == 0 && nbytes > 0 && at + nbytes < UINT16_MAX);
    m->region = (uint16_t)(m->region + ceil_div(nbytes, sizeof(void *)) * sizeof(void *));
    return at;
}

/* Returns whether a call has nothing to do for an object except to take or free a slot, and to
 * count it: then the heap can have an hcache. */
static bool is_plain(const mem_heap *m, bool has_limit)
{
    unsigned more = MEM_FILL_NEW | MEM_FILL_FREED | MEM_GUARD_PAGES | MEM_CHECK_CALLS;
    return m->style == MEM_ANY_FIT && (m->flags & more) == 0 && !has_limit;
}

/* Decides the modes, and where the sections and the region are, by the numbers from nbytes on that
 * the header has so far:
 *
 *     struct mem_heap | lock? | extras? | state | hcache? or nopen? |.| region
 *                                                                    to a multiple of 16
 */
static void lay_out(mem_heap *m, bool has_extras, bool has_limit)
{
    m->region = sizeof *m;
    if ((m->flags & MEM_SINGLE_THREADED) == 0)
        m->lock = add_section(m, sizeof(struct lock));
    if (has_extras)
        m->extras = add_section(m, sizeof(struct extras));
    m->has_spans = m->nbytes >= (m->flags & MEM_SLOTS ? WITH_SMALL_SPANS : WITH_SPANS);
    if (m->has_spans && !header_has_parts(m) && is_plain(m, has_limit))
        m->flags |= HAS_HCACHE;
    m->state = add_section(m, m->has_spans ? sizeof(struct heap) : stored_bytes(m));
    if (header_has_hcache(m))
        (void)add_section(m, hcache_bytes(m->nbytes));
    if (header_has_parts(m))
        (void)add_section(m, sizeof *header_open_parts(m));
    m->region = (uint16_t)(ceil_div(m->region, HEAP_ALIGN) * HEAP_ALIGN);
    assert(!header_has_hcache(m) || (m->has_spans && !header_has_parts(m)));
    assert(!header_has_parts(m) || (m->has_spans && !header_has_guards(m))); /* HD5 */
    assert(!header_has_guards(m) || m->region <= header_guard_bytes(m));     /* it has a page */
    assert(header_bytes(m) + CHUNK_COST < m->nbytes);
}

/* Returns the first word of a heap in use: it has a fast path if it has an hcache. */
static uint32_t magic_of(const mem_heap *m)
{
    if (!header_has_hcache(m))
        return HEAP_MAGIC;
    return header_has_lock(m) ? HEAP_FAST_LOCKED : HEAP_FAST;
}

/* Under memcheck it does without [MC2]. Each process may choose that: nothing else that is stored
 * differs, and the next process that attaches the heap chooses anew. */
static uint32_t magic_here(const mem_heap *m)
{
    return memcheck_is_there ? HEAP_MAGIC : magic_of(m);
}

/* The caller's memory may hold anything, so that all of the header is cleared first: bytes between
 * fields are summed, too. */
void header_make(mem_heap *m, size_t nbytes, const struct mem_options *o, bool is_mapped)
{
    assert((uintptr_t)m % HEAP_ALIGN == 0);
    assert(nbytes >= MEM_HEAP_MIN && nbytes <= MEM_HEAP_MAX && nbytes % HEAP_ALIGN == 0);
    assert((unsigned)o->style <= MEM_FIRST_FIT && (o->flags & HAS_HCACHE) == 0);
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
    bool has_callbacks = o->on_exhausted != NULL || o->on_refused != NULL;
    lay_out(m, o->limit != 0 || has_callbacks, o->limit != 0);
    m->magic = magic_here(m);
    m->sum = sum_of_constants(m);
    if (header_has_parts(m))
        header_set_nopen(m, 1);
    struct extras *e = header_at(m, m->extras);
    if (e == NULL)
        return;
    memset(e, 0, sizeof *e); /* what lies between its fields is summed, too */
    *e = (struct extras){o->limit, o->on_exhausted, o->on_refused, o->context, 0};
    e->sum = sum_of_extras(e);
}

/* The functions that the extras point to were those of another process, perhaps. */
void header_make_anew(mem_heap *m, const struct mem_options *o)
{
    struct extras *e = header_at(m, m->extras);
    m->magic = magic_here(m);
    m->is_mapped = false;
    m->walker = NULL;
    m->sum = sum_of_constants(m);
    assert(header_is_whole(m));
    if (e == NULL)
        return;
    e->on_exhausted = o->on_exhausted;
    e->on_refused = o->on_refused;
    e->context = o->context;
    e->sum = sum_of_extras(e);
}

/* One store: a process that ends here leaves a heap that can be attached. */
void header_detach(mem_heap *m)
{
    const uint32_t first[2] = {HEAP_DETACHED, sum_of_detached(m)};
    static_assert(offsetof(struct mem_heap, sum) == sizeof first[0], "they are one word");
    memcpy(m, first, sizeof first);
}

/* --- whether it is whole ------------------------------------------------------------ */

RACING bool header_is_whole(const mem_heap *m)
{
    return header_is_here(m) && m->sum == sum_of_constants(m);
}

/* A checksum of 32 bits may happen to be right, or may have been made so. Then the numbers must be
 * those of a heap, too: where each section is follows from the modes, and the modes follow from the
 * size, the flags and whether there are extras and a limit. The limit is verified by itself. */
bool header_is_possible(const mem_heap *m)
{
    enum { FIRST = offsetof(struct mem_heap, nbytes), END = offsetof(struct mem_heap, live_bytes) };
    size_t guard = (size_t)1 << (m->guard_shift & 31);
    unsigned char truth; /* of is_mapped; a bool may be overwritten with what is none */
    memcpy(&truth, &m->is_mapped, sizeof truth);
    bool guarded = (m->flags & MEM_GUARD_PAGES) != 0, has_hcache = header_has_hcache(m);
    if (m->nbytes < MEM_HEAP_MIN || m->nbytes > MEM_HEAP_MAX || m->nbytes % HEAP_ALIGN != 0 ||
        (m->flags & ~(ALL_FLAGS | HAS_HCACHE)) != 0 || m->style > MEM_FIRST_FIT ||
        guarded != header_has_guards(m))
        return false;
    if (truth > 1 || ((guarded || header_has_parts(m)) && truth == 0))
        return false;
    if (guarded && (m->guard_shift > 16 || guard < 4096 || m->nbytes % guard != 0 ||
                    m->nbytes / guard < 4 || header_has_parts(m)))
        return false;
    struct mem_heap like = {.nbytes = m->nbytes,
                            .flags = (uint8_t)(m->flags & ~HAS_HCACHE),
                            .style = m->style,
                            .fill_new = m->fill_new,
                            .fill_freed = m->fill_freed,
                            .version = VERSION,
                            .is_mapped = truth != 0,
                            .guard_shift = m->guard_shift};
    const struct extras *e = header_at(m, m->extras);
    lay_out(&like, e != NULL, e != NULL && !has_hcache);
    return memcmp(&like.nbytes, &m->nbytes, END - FIRST) == 0 &&
           (m->magic == HEAP_DETACHED || m->magic == HEAP_MAGIC || m->magic == magic_of(m)) &&
           (!has_hcache || e == NULL || e->limit == 0);
}

/* The version is compared before the checksum, which another version may compute in another way.
 * That of a detached heap is in more than the header, so the buffer has to be long enough. */
enum mem_result header_examine(const mem_heap *m, size_t nbytes)
{
    if (nbytes < MEM_HEAP_MIN)
        return MEM_BAD_SIZE;
    if (!header_is_here(m) && m->magic != HEAP_DETACHED)
        return MEM_NO_HEAP;
    if (m->version != VERSION)
        return MEM_BAD_VERSION;
    bool is_detached = m->magic == HEAP_DETACHED;
    if ((!is_detached && m->sum != sum_of_constants(m)) || !header_is_possible(m))
        return MEM_DAMAGED;
    if (header_has_guards(m))
        return MEM_BAD_OPTIONS;
    if (m->nbytes > nbytes)
        return MEM_BAD_SIZE;
    return is_detached && m->sum != sum_of_detached(m) ? MEM_DAMAGED : MEM_OK;
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
    const struct extras *e = header_at(m, m->extras);
    return e == NULL || e->sum == sum_of_extras(e);
}

const struct extras *header_extras(const mem_heap *m)
{
    return header_extras_are_whole(m) ? header_at(m, m->extras) : NULL;
}

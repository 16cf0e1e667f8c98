/* SPDX-License-Identifier: MIT */
#include "heap.h"

#include "os.h"

void heap_lock(struct heap *h)
{
    pthread_mutex_lock(&h->lock);
}

void heap_unlock(struct heap *h)
{
    pthread_mutex_unlock(&h->lock);
}

void heap_open_locked(struct heap *h, struct region region, MemNodePtr *head)
{
    assert((uintptr_t)region.base % GRANULE_BYTES == 0 && region.nbytes <= REGION_BYTES_MAX);
    region.nbytes -= region.nbytes % GRANULE_BYTES;
    h->region = region;
    h->list = (struct freelist){&h->region, &h->ledger, head};
    ledger_open(&h->ledger, region.base + region.nbytes, region.nbytes);
    spans_open(&h->spans, region, &h->ledger);
    h->has_caches = threads_open();
    h->has_spans = head == NULL && region.nbytes >= SPAN_REGION_MIN;
    if (head != NULL)
        freelist_mend_all(&h->list);
}

/* --- taking ---------------------------------------------------------------- */

/* A heap without a free list has no node that could be wrong. */
static bool look_locked(const struct heap *h, uint32_t start, uint32_t end,
                        struct freelist_spot *spot)
{
    if (h->list.head == NULL)
        return true;
    freelist_look(&h->list, start, end, spot);
    return spot->here_right;
}

/* The granules that nbytes take; 0 for more than there can be. */
static uint32_t granules_for(size_t nbytes)
{
    size_t n = nbytes == 0 ? 1 : ceil_div(nbytes, GRANULE_BYTES);
    return n <= UINT32_MAX ? (uint32_t)n : 0;
}

static uint32_t slack_for(size_t nbytes)
{
    return (uint32_t)(granules_for(nbytes) * (size_t)GRANULE_BYTES - nbytes);
}

static enum heap_result take_chunk(struct heap *h, size_t nbytes, enum fit fit, void **object)
{
    uint32_t length = granules_for(nbytes);
    struct chunk from;
    struct freelist_spot spot;
    if (length == 0 || !ledger_choose(&h->ledger, length, fit, &from))
        return HEAP_NO_SPACE;
    if (!look_locked(h, from.start, from.start, &spot)) {
        freelist_mend(&h->list, &spot);
        return HEAP_DAMAGED;
    }
    length = ledger_take(&h->ledger, &from, length, slack_for(nbytes));
    if (h->list.head != NULL)
        freelist_taken(&h->list, &spot, length);
    *object = region_at(&h->region, from.start);
    return HEAP_OK;
}

static enum heap_result take_chunk_aligned(struct heap *h, size_t nbytes, size_t align,
                                           void **object)
{
    uint32_t length = granules_for(nbytes), skip;
    size_t ngranules = align / GRANULE_BYTES;
    struct chunk from;
    if (length == 0 || ngranules > UINT32_MAX)
        return HEAP_NO_SPACE;
    uint32_t phase = (uint32_t)((uintptr_t)h->region.base / GRANULE_BYTES & (ngranules - 1));
    if (!ledger_choose_aligned(&h->ledger, length, (uint32_t)ngranules, phase, &from, &skip))
        return HEAP_NO_SPACE;
    ledger_take_aligned(&h->ledger, &from, skip, length, slack_for(nbytes));
    *object = region_at(&h->region, from.start + skip);
    return HEAP_OK;
}

/* The size of a slot that holds nbytes at a multiple of align; 0: not worth a slot. */
static size_t slot_bytes_for(size_t nbytes, size_t align)
{
    if (nbytes > SPAN_OBJECT_MAX || align > SPAN_OBJECT_MAX)
        return 0;
    size_t slot_bytes = align;
    while (align > GRANULE_BYTES && slot_bytes < nbytes)
        slot_bytes *= 2; /* a power of two: its multiples are multiples of align */
    /* More than half of it for nothing: the ledger cuts what is needed. */
    return is_wide((uint32_t)slot_bytes) && nbytes < slot_bytes / 2 ? 0 : slot_bytes;
}

static enum heap_result take_once(struct heap *h, size_t nbytes, size_t align, enum fit fit,
                                  void **object)
{
    size_t slot_bytes = slot_bytes_for(nbytes, align);
    if (fit == FIT_ANY && h->has_spans && slot_bytes > 0) {
        *object = spans_take(&h->spans, nbytes, slot_bytes);
        if (*object != NULL)
            return HEAP_OK;
    }
    return align <= GRANULE_BYTES ? take_chunk(h, nbytes, fit, object)
                                  : take_chunk_aligned(h, nbytes, align, object);
}

/* Before anybody is told that there is no space: what threads hold goes back, and what
 * is empty. */
static bool sweep_locked(struct heap *h)
{
    if (h->spans.nspans == 0)
        return false;
    caches_revoke_locked(&h->spans);
    spans_sweep(&h->spans);
    return true;
}

static enum heap_result take(struct heap *h, size_t nbytes, size_t align, enum fit fit,
                             void **object)
{
    heap_lock(h);
    enum heap_result result = HEAP_NO_REGION;
    if (h->region.base != NULL)
        result = take_once(h, nbytes, align, fit, object);
    if (result == HEAP_NO_SPACE && sweep_locked(h)) /* S5 */
        result = take_once(h, nbytes, align, fit, object);
    if (result == HEAP_NO_SPACE && fit == FIT_ANY && align <= GRANULE_BYTES &&
        nbytes <= SPAN_OBJECT_MAX && (*object = spans_take_larger(&h->spans, nbytes)) != NULL)
        result = HEAP_OK;
    heap_unlock(h);
    return result;
}

enum heap_result heap_take(struct heap *h, size_t nbytes, enum fit fit, void **object)
{
    return take(h, nbytes, 1, fit, object);
}

enum heap_result heap_take_aligned(struct heap *h, size_t nbytes, size_t align, void **object)
{
    assert(h->list.head == NULL);
    return take(h, nbytes, align, FIT_ANY, object);
}

/* --- judging --------------------------------------------------------------- */

/* Where an address was found to be. */
struct place {
    bool in_span;
    struct slot slot;
    struct chunk chunk;
};

static enum heap_result judge_slot(const void *address, const struct slot *slot,
                                   struct object *found)
{
    if (!slot->is_object)
        return slot->is_ours ? HEAP_NO_OBJECT : HEAP_FREE;
    found->start = (unsigned char *)(uintptr_t)address - slot->into;
    found->size = slot->bytes - slot->slack;
    return HEAP_INSIDE;
}

static enum heap_result judge_chunk(const struct heap *h, const struct chunk *c,
                                    struct object *found)
{
    if (c->state == 0)
        return HEAP_FREE;
    if (c->state == CHUNK_RESERVED)
        return HEAP_NO_OBJECT;
    found->start = region_at(&h->region, c->start);
    found->size = (size_t)c->length * GRANULE_BYTES - (c->state - 1);
    return HEAP_INSIDE;
}

/* What an address is, and the one place where that is decided. HEAP_OK: it is in
 * the object `found`; HEAP_INSIDE: the same, but not its start. */
static enum heap_result judge_locked(const struct heap *h, const void *address, struct place *p,
                                     struct object *found)
{
    size_t offset = region_offset(&h->region, address);
    enum heap_result result;
    if (offset >= h->region.nbytes)
        return HEAP_NOT_OURS;
    p->in_span = spans_find(&h->spans, offset, &p->slot);
    if (p->in_span)
        result = judge_slot(address, &p->slot, found);
    else if (ledger_find(&h->ledger, (uint32_t)(offset / GRANULE_BYTES), &p->chunk))
        result = judge_chunk(h, &p->chunk, found);
    else
        return HEAP_NO_OBJECT; /* the ledger, or what is left over below it */
    if (result != HEAP_INSIDE)
        return result;
    if (address == found->start)
        return HEAP_OK; /* also of an object without a byte */
    size_t into = (size_t)((uintptr_t)address - (uintptr_t)found->start);
    return into < found->size ? HEAP_INSIDE : HEAP_NO_OBJECT; /* slack behind the last byte */
}

/* For those to whom any address inside an object is as good as its start. */
static enum heap_result anywhere(enum heap_result result)
{
    return result == HEAP_INSIDE ? HEAP_OK : result;
}

enum heap_result heap_find_exact(struct heap *h, const void *address, struct object *found)
{
    struct place p;
    heap_lock(h);
    enum heap_result result = judge_locked(h, address, &p, found);
    heap_unlock(h);
    return result;
}

enum heap_result heap_find(struct heap *h, const void *address, struct object *found)
{
    return anywhere(heap_find_exact(h, address, found));
}

static void give_back_locked(struct heap *h, const struct place *p)
{
    const struct chunk *c = &p->chunk;
    struct freelist_spot spot;
    if (p->in_span) {
        spans_free(&h->spans, &p->slot);
        return;
    }
    look_locked(h, c->start, c->start + c->length, &spot);
    ledger_give_back(&h->ledger, c->start);
    if (h->list.head != NULL)
        freelist_given(&h->list, &spot, c->start + c->length);
}

enum heap_result heap_free(struct heap *h, const void *address)
{
    struct place p;
    struct object found;
    heap_lock(h);
    enum heap_result result = anywhere(judge_locked(h, address, &p, &found));
    if (result == HEAP_OK)
        give_back_locked(h, &p);
    heap_unlock(h);
    return result;
}

/* --- giving pages back ------------------------------------------------------ */

static void give_pages_back(unsigned char *from, unsigned char *to)
{
    uintptr_t page = os_page_bytes();
    uintptr_t first = ceil_div((uintptr_t)from, page) * page, end = (uintptr_t)to / page * page;
    if (first < end)
        os_give_back((void *)first, end - first);
}

/* Holes that are shorter than `least` bytes are left alone. */
static void trim_locked(struct heap *h, size_t least)
{
    struct chunk hole = {.length = UINT32_MAX};
    while (ledger_next_shorter(&h->ledger, &hole) && (size_t)hole.length * GRANULE_BYTES >= least) {
        unsigned char *start = region_at(&h->region, hole.start);
        give_pages_back(start, start + (size_t)hole.length * GRANULE_BYTES);
    }
    /* What the ledger has grown over and left again is in this, too. */
    give_pages_back(region_at(&h->region, ledger_tail(&h->ledger).start),
                    h->region.base + h->region.nbytes - ledger_nbytes(&h->ledger));
    h->ledger.nfreed = 0;
}

/* Pages that go back and are wanted again cost a fault each, so they go only when
 * much has been freed: a part of what is in use, so that the work done here is a
 * small part of the frees that led to it. */
static bool is_time_to_trim_locked(const struct heap *h)
{
    enum { LEAST_FREED = (16 << 20) / GRANULE_BYTES, PART = 4 };
    return h->list.head == NULL && h->ledger.nfreed >= LEAST_FREED &&
           h->ledger.nfreed >= h->ledger.nlive / PART;
}

bool heap_trim(struct heap *h)
{
    assert(h->list.head == NULL);
    heap_lock(h);
    bool freed = false;
    if (h->region.base != NULL) {
        sweep_locked(h);
        freed = h->ledger.nfreed > 0;
        trim_locked(h, os_page_bytes());
    }
    heap_unlock(h);
    return freed;
}

static void trim_if_time_locked(struct heap *h)
{
    enum { SHORT_HOLE = 64 << 10 }; /* bytes: a system call for less does not pay */
    if (is_time_to_trim_locked(h))
        trim_locked(h, SHORT_HOLE);
}

enum heap_result heap_free_exact(struct heap *h, const void *address)
{
    struct place p;
    struct object found;
    heap_lock(h);
    enum heap_result result = judge_locked(h, address, &p, &found);
    if (result == HEAP_OK)
        give_back_locked(h, &p);
    trim_if_time_locked(h);
    heap_unlock(h);
    return result;
}

/* --- threads ----------------------------------------------------------------- */

/* In a heap that is nearly full a cache would be taken away again by the next call. */
static bool has_room_for_caches_locked(const struct heap *h)
{
    enum { PART = 16 };
    size_t ngranules = h->region.nbytes / GRANULE_BYTES;
    return h->has_spans && h->has_caches && h->ledger.nlive < ngranules - ngranules / PART;
}

void heap_join(struct heap *h, struct thread *t)
{
    heap_lock(h);
    if (h->region.base != NULL && t->cache == NULL && has_room_for_caches_locked(h))
        cache_open_locked(&h->spans, t);
    heap_unlock(h);
}

void heap_leave(struct heap *h, struct thread *t)
{
    heap_lock(h);
    cache_close_locked(&h->spans, t);
    t->has_ended = true;
    heap_unlock(h);
}

void heap_forked_locked(struct heap *h, struct thread *mine)
{
    caches_close_others_locked(&h->spans, mine);
}

bool heap_refill(struct heap *h, struct thread *t, size_t nbytes)
{
    heap_lock(h);
    bool filled = cache_refill_locked(&h->spans, t, nbytes);
    heap_unlock(h);
    return filled;
}

void heap_recount(struct heap *h, const void *address)
{
    heap_lock(h);
    spans_recount(&h->spans, address);
    trim_if_time_locked(h);
    heap_unlock(h);
}

/* --- resizing -------------------------------------------------------------- */

static bool resize_locked(struct heap *h, const struct place *p, size_t nbytes)
{
    uint32_t length = granules_for(nbytes);
    if (p->in_span)
        return spans_resize(&h->spans, &p->slot, nbytes);
    return length > 0 && ledger_resize(&h->ledger, p->chunk.start, length, slack_for(nbytes));
}

enum heap_result heap_resize(struct heap *h, const void *address, size_t nbytes)
{
    struct place p;
    struct object found;
    assert(h->list.head == NULL);
    heap_lock(h);
    enum heap_result result = judge_locked(h, address, &p, &found);
    if (result == HEAP_OK && !resize_locked(h, &p, nbytes))
        result = HEAP_NO_SPACE;
    heap_unlock(h);
    return result;
}

/* --- counting ---------------------------------------------------------------- */

static void count(struct heap_sums *sums, bool is_free, size_t nbytes, size_t slack)
{
    sums->nfree += is_free;
    sums->free_bytes += is_free ? nbytes : 0;
    sums->nobjects += !is_free;
    sums->object_bytes += is_free ? 0 : nbytes - slack;
}

/* The chunk is one span, or what the spans need for themselves. */
static void count_span(const struct heap *h, const struct chunk *c, struct heap_sums *sums)
{
    struct slot slot;
    size_t at = (size_t)c->start * GRANULE_BYTES, end = at + (size_t)c->length * GRANULE_BYTES;
    while (at < end && spans_find(&h->spans, at, &slot) && slot.into == 0) {
        if (slot.bytes <= end - at && !slot.is_ours)
            count(sums, !slot.is_object, slot.bytes, slot.slack);
        at += slot.bytes;
    }
}

static struct heap_sums sum_locked(const struct heap *h)
{
    struct heap_sums sums = {.region_bytes = h->region.nbytes};
    struct chunk c;
    if (h->region.base == NULL)
        return sums;
    sums.ledger_bytes = ledger_nbytes(&h->ledger);
    for (uint32_t at = 0; ledger_find(&h->ledger, at, &c); at = c.start + c.length) {
        size_t nbytes = (size_t)c.length * GRANULE_BYTES;
        if (c.state == CHUNK_RESERVED)
            count_span(h, &c, &sums);
        else
            count(&sums, c.state == 0, nbytes, c.state - 1u);
    }
    return sums;
}

struct heap_sums heap_sum(struct heap *h)
{
    heap_lock(h);
    struct heap_sums sums = sum_locked(h);
    heap_unlock(h);
    return sums;
}

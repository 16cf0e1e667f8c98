/* SPDX-License-Identifier: MIT */
#include "cache.h"

/* --- windows ------------------------------------------------------------------------ */

/* To the next 64 slots of the span, from the last to the first. */
static void window_move(struct window *w)
{
    bool last = w->nslots - w->first <= STATES_AT_ONCE;
    ptrdiff_t step = last ? -(ptrdiff_t)w->first : STATES_AT_ONCE;
    w->states += step;
    w->base += step * (ptrdiff_t)w->slot_bytes;
    w->first += (uint32_t)step;
}

/* How many of n slots have to be free for the trouble: a part of them, 2^-part. */
enum { EIGHTH = 3, ANY = 7 };

static bool are_enough(uint64_t mask, uint32_t n, unsigned part)
{
    return mask != 0 && count_bits(mask) >= least(n, STATES_AT_ONCE) >> part;
}

/* Finds 64 slots of which a part is free, best those just used: they are in the processor's
 * cache, and have their pages. If there are none, then as few are free in the whole span. */
static bool window_scan(struct window *w, unsigned part)
{
    uint32_t start = w->first;
    if (w->unit == 0)
        return false;
    do {
        uint32_t n = w->nslots - w->first;
        w->mask = free_slots(w->states, n);
        if (are_enough(w->mask, n, part))
            return true;
        window_move(w);
    } while (w->first != start);
    w->mask = 0;
    return false;
}

static void window_open(struct window *w, const struct spans *s, uint32_t unit)
{
    const struct span *span = span_at(s, unit);
    *w = (struct window){.states = span->states,
                         .base = (unsigned char *)spans_unit_address(s, unit),
                         .slot_bytes = span->slot_bytes,
                         .full = span->slot_bytes + 1,
                         .unit = unit,
                         .nslots = span->nslots};
}

static void window_close(struct spans *s, struct window *w)
{
    uint32_t unit = w->unit;
    w->mask = 0;
    w->unit = 0;
    if (unit != 0)
        spans_release(s, unit);
}

bool cache_take(struct thread *t, size_t nbytes, unsigned sizeclass, void **object)
{
    bool taken = false;
    thread_enter(t);
    if (thread_small(t) > 0) {
        struct window *w = &t->cache->window[sizeclass];
        taken = w->mask != 0 || window_scan(w, EIGHTH);
        if (taken)
            *object = window_take_any(w, w->mask, nbytes);
    }
    thread_leave(t);
    return taken;
}

bool cache_refill_locked(struct spans *s, struct thread *t, unsigned sizeclass)
{
    if (t->cache == NULL)
        return false;
    struct window *w = &t->cache->window[sizeclass];
    if (w->unit != 0)
        spans_release_used(s, w->unit);
    uint32_t unit = spans_adopt(s, sizeclass, t->cache->member.id);
    *w = (struct window){.unit = 0};
    if (unit == 0)
        return false;
    window_open(w, s, unit);
    return window_scan(w, EIGHTH) || window_scan(w, ANY);
}

/* --- caches ------------------------------------------------------------------------- */

void cache_open_locked(struct spans *s, struct thread *t)
{
    struct cache *c = spans_take_ours(s, sizeof *c);
    if (c == NULL)
        return;
    const struct region *r = &s->chunks->region;
    c->base = spans_unit_address(s, 1);
    c->nbytes = (uintptr_t)r->base + r->nbytes - c->base;
    c->map = span_at(s, 1);
    for (size_t i = 0; i < NBY_SIZE; i++)
        c->by_size[i] = &c->window[sizeclass_of(i * GRANULE_BYTES)];
    threads_join_locked(&s->threads, &c->member, t);
    t->cache = c;
    __atomic_store_n(&t->small, CACHE_SMALL_MAX + 1, __ATOMIC_RELEASE);
}

static void close_windows(struct spans *s, struct cache *c)
{
    for (unsigned i = 0; i < NCLASSES; i++)
        window_close(s, &c->window[i]);
}

static void close_cache(struct spans *s, struct cache *c)
{
    close_windows(s, c);
    threads_leave_locked(&s->threads, &c->member);
    spans_free_ours(s, c);
}

static void part(struct thread *t)
{
    __atomic_store_n(&t->small, 0, __ATOMIC_RELAXED);
    t->cache = NULL;
}

void cache_close_locked(struct spans *s, struct thread *t)
{
    struct cache *c = t->cache;
    part(t);
    if (c != NULL)
        close_cache(s, c);
}

void caches_close_others_locked(struct spans *s, const struct thread *mine)
{
    struct member *next, *all = s->threads.first;
    s->threads.first = NULL; /* nobody is left to be waited for */
    for (struct member *m = all; m != NULL; m = next) {
        next = m->next;
        if (m->thread == mine)
            continue;
        close_windows(s, (struct cache *)m);
        spans_free_ours(s, m); /* the thread's own memory may be gone */
    }
    if (mine->cache != NULL)
        threads_join_locked(&s->threads, &mine->cache->member, mine->cache->member.thread);
}

bool caches_revoke_locked(struct spans *s)
{
    const struct member *m;
    for (m = s->threads.first; m != NULL; m = m->next)
        __atomic_store_n(&m->thread->small, 0, __ATOMIC_RELEASE);
    bool quiet = threads_wait_locked(&s->threads);
    while (quiet && s->threads.first != NULL) {
        part(s->threads.first->thread);
        close_cache(s, (struct cache *)s->threads.first);
    }
    for (m = s->threads.first; m != NULL; m = m->next)
        __atomic_store_n(&m->thread->small, CACHE_SMALL_MAX + 1, __ATOMIC_RELEASE);
    return quiet;
}

/* --- objects of any size ------------------------------------------------------------ */

/* As cache_look, in spans of WIDE_UNITS. */
static bool look_wide(const struct thread *t, const void *address, struct cached_slot *at)
{
    if (thread_small(t) == 0)
        return false;
    const struct cache *c = t->cache;
    size_t offset = (uintptr_t)address - c->base, unit = offset >> UNIT_SHIFT;
    if (offset >= c->nbytes)
        return false;
    unit -= __atomic_load_n(&c->map[unit].back, __ATOMIC_RELAXED);
    at->span = &c->map[unit];
    uint32_t reciprocal = __atomic_load_n(&at->span->visible_wide, __ATOMIC_ACQUIRE);
    uint32_t into = (uint32_t)(offset - (unit << UNIT_SHIFT));
    if (into >= WIDE_UNITS * UNIT_BYTES || into % (1 << WIDE_SHIFT) != 0)
        return false;
    uint64_t product = (uint64_t)(into >> WIDE_SHIFT) * reciprocal;
    if ((uint32_t)product >= reciprocal)
        return false;
    at->index = (uint32_t)(product >> 32);
    at->state = at->span->states + at->index;
    return __atomic_load_n(at->state, __ATOMIC_RELAXED) != 0;
}

static bool look_any(const struct thread *t, const void *address, struct cached_slot *at)
{
    return cache_look(t, address, at) || look_wide(t, address, at);
}

enum cache_freed cache_free_wide(struct thread *t, const void *address)
{
    struct cached_slot at;
    thread_enter(t);
    enum cache_freed freed = look_wide(t, address, &at) ? cached_slot_free(&at) : CACHE_NOT_FREED;
    thread_leave(t);
    return freed;
}

/* Of a slot that was found, with what it says of itself now. */
static size_t object_bytes(const struct cached_slot *at)
{
    return at->span->slot_bytes - span_slack(at->state - at->index, at->span->nslots, at->index);
}

bool cache_size(struct thread *t, const void *address, size_t *nbytes)
{
    struct cached_slot at;
    thread_enter(t);
    bool found = look_any(t, address, &at);
    if (found)
        *nbytes = object_bytes(&at);
    thread_leave(t);
    return found;
}

bool cache_resize(struct thread *t, const void *address, size_t nbytes)
{
    struct cached_slot at;
    thread_enter(t);
    bool done = look_any(t, address, &at) &&
                slot_suits(at.span->slot_bytes, object_bytes(&at), nbytes) &&
                span_resize_object(at.state - at.index, at.span->nslots, at.index,
                                   at.span->slot_bytes - (uint32_t)nbytes);
    thread_leave(t);
    return done;
}

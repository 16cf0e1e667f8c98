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

/* Finds 64 slots of which at least one in `share` is free, and begins with those just
 * used, as they are in the processor's cache. If there are none, then as few are free
 * in the whole span. */
static bool window_scan(struct window *w, uint32_t share)
{
    uint32_t start = w->first;
    if (w->unit == 0)
        return false;
    do {
        uint32_t n = w->nslots - w->first;
        w->mask = free_slots(w->states, n);
        if (w->mask != 0 &&
            (uint32_t)__builtin_popcountll(w->mask) >= least(n, STATES_AT_ONCE) / share)
            return true;
        window_move(w);
    } while (w->first != start);
    w->mask = 0;
    return false;
}

static void window_open(struct window *w, const struct spans *s, uint32_t unit)
{
    const struct span *span = spans_map_bias(s) + (spans_unit_address(s, unit) >> UNIT_SHIFT);
    *w = (struct window){.states = s->chunks->region.base + span->states,
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

static void *take_wide(struct window *w, size_t nbytes)
{
    unsigned i = (unsigned)__builtin_ctzll(w->mask);
    uint16_t slack = (uint16_t)(w->slot_bytes - nbytes);
    __atomic_store_n(wide_slack(w->states - w->first, w->first + i), slack, __ATOMIC_RELAXED);
    return window_take(w, w->mask, w->slot_bytes); /* the state is 1 */
}

bool cache_take(struct thread *t, size_t nbytes, void **object)
{
    bool taken = false;
    thread_enter(t);
    if (thread_small(t) > 0) {
        struct window *w = &t->cache->window[sizeclass_of(nbytes)];
        taken = w->mask != 0;
        if (taken && is_wide((uint32_t)w->slot_bytes))
            *object = take_wide(w, nbytes);
        else if (taken)
            *object = window_take(w, w->mask, nbytes);
    }
    thread_leave(t);
    return taken;
}

enum { SHARE = 8, ANY = STATES_AT_ONCE + 1 };

bool cache_scan(struct thread *t, size_t nbytes)
{
    thread_enter(t);
    bool found = thread_small(t) > 0 && window_scan(&t->cache->window[sizeclass_of(nbytes)], SHARE);
    thread_leave(t);
    return found;
}

bool cache_refill_locked(struct spans *s, struct thread *t, size_t nbytes)
{
    unsigned sizeclass = sizeclass_of(nbytes);
    if (t->cache == NULL)
        return false;
    struct window *w = &t->cache->window[sizeclass];
    window_close(s, w);
    uint32_t unit = spans_adopt(s, sizeclass);
    if (unit == 0)
        return false;
    window_open(w, s, unit);
    return window_scan(w, SHARE) || window_scan(w, ANY);
}

/* --- caches ------------------------------------------------------------------------- */

void cache_open_locked(struct spans *s, struct thread *t)
{
    struct cache *c = spans_take_ours(s, sizeof *c);
    if (c == NULL)
        return;
    c->base = s->chunks->region.base;
    c->nbytes = s->chunks->region.nbytes;
    c->map = spans_map_bias(s);
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

void cache_close_locked(struct spans *s, struct thread *t)
{
    struct cache *c = t->cache;
    if (c == NULL)
        return;
    __atomic_store_n(&t->small, 0, __ATOMIC_RELAXED);
    t->cache = NULL;
    close_windows(s, c);
    threads_leave_locked(&s->threads, &c->member);
    spans_free_ours(s, c);
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
    while (quiet && s->threads.first != NULL)
        cache_close_locked(s, s->threads.first->thread);
    for (m = s->threads.first; m != NULL; m = m->next)
        __atomic_store_n(&m->thread->small, CACHE_SMALL_MAX + 1, __ATOMIC_RELEASE);
    return quiet;
}

/* --- other questions ---------------------------------------------------------------- */

static unsigned char *states_of(const struct cached_slot *at)
{
    return at->state - at->index;
}

bool cache_size(struct thread *t, const void *address, size_t *nbytes)
{
    struct cached_slot at;
    thread_enter(t);
    bool found = cache_look(t, address, &at);
    if (found)
        *nbytes = at.span->slot_bytes - span_slack(at.span, states_of(&at), at.index);
    thread_leave(t);
    return found;
}

bool cache_resize(struct thread *t, const void *address, size_t nbytes)
{
    struct cached_slot at;
    thread_enter(t);
    bool done = cache_look(t, address, &at) && slot_can_hold(at.span->slot_bytes, nbytes);
    if (done)
        span_make_object(at.span, states_of(&at), at.index, at.span->slot_bytes - (uint32_t)nbytes);
    thread_leave(t);
    return done;
}

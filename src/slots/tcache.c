/* SPDX-License-Identifier: MIT */
#include "slots/tcache.h"

/* --- windows ------------------------------------------------------------------------ */

/* To the 64 slots from `first` on, a multiple of 64. */
static void window_move(struct window *w, uint32_t first)
{
    ptrdiff_t step = (ptrdiff_t)first - (ptrdiff_t)w->first;
    w->states += step;
    w->far += step;
    w->base += step * (ptrdiff_t)w->slot_bytes;
    w->first = first;
}

/* How many of n slots have to be free for the trouble: a part of them, 2^-part. */
enum { EIGHTH = 3, ANY = 7 };

static bool are_enough(uint64_t mask, uint32_t n, unsigned part)
{
    return mask != 0 && count_bits(mask) >= least(n, STATES_AT_ONCE) >> part;
}

static bool window_look(struct window *w, unsigned part)
{
    uint32_t n = w->nslots - w->first;
    w->mask = free_slots(w->states, n);
    return are_enough(w->mask, n, part);
}

/* Slots that no thread has had yet mostly have no pages, and are in no cache of the processor: so
 * they are not looked at before they are needed. */
static void window_widen(struct window *w, struct span *span)
{
    window_move(w, w->used);
    w->used = least(w->used + STATES_AT_ONCE, w->nslots);
    span->used = (uint16_t)w->used;
}

/* Finds 64 slots of which a part is free, best those just used. If there are none, then as few
 * are free in the whole span. */
static bool window_scan(struct window *w, const struct cache *c, unsigned part)
{
    uint32_t start = w->first;
    if (w->unit == 0)
        return false;
    do {
        if (window_look(w, part))
            return true;
        window_move(w, w->first + STATES_AT_ONCE < w->used ? w->first + STATES_AT_ONCE : 0);
    } while (w->first != start);
    while (w->used < w->nslots) {
        window_widen(w, &c->map[w->unit - 1]);
        if (window_look(w, part))
            return true;
    }
    w->mask = 0;
    return false;
}

static void window_open(struct window *w, const struct cache *c, uint32_t unit)
{
    const struct span *span = &c->map[unit - 1];
    w->states = span->states;
    w->far = far_slack(span->states, span->nslots, 0);
    w->base = (unsigned char *)(c->base + ((uintptr_t)(unit - 1) << UNIT_SHIFT));
    w->slot_bytes = span->slot_bytes;
    w->full = span->slot_bytes + 1;
    w->first = 0;
    w->nslots = span->nslots;
    w->used = span->used > 0 ? span->used : least(STATES_AT_ONCE, span->nslots);
    w->unit = unit;
    w->last = 0;
}

/* --- spans that rest ---------------------------------------------------------------- */

static uint32_t oldest(const struct window *w)
{
    return w->nresting == 0 ? 0 : w->resting[w->oldest];
}

static void forget_oldest(struct window *w)
{
    w->oldest = (uint16_t)(w->oldest + 1) % NRESTING;
    w->nresting--;
}

/* There is room for one more. */
static void window_remember(struct window *w, uint32_t unit)
{
    w->resting[(w->oldest + w->nresting) % NRESTING] = unit;
    w->nresting++;
}

static void window_rest(struct window *w, const struct cache *c)
{
    if (w->unit == 0)
        return;
    uint32_t unit = w->unit;
    w->mask = 0;
    w->unit = 0; /* first: a fork that comes now must not find it in two places */
    window_remember(w, unit);
    span_rest(&c->map[unit - 1], w->nslots, w->is_alone && is_wide(w->slot_bytes), w);
}

static void window_swap(struct window *w, const struct cache *c, uint32_t unit)
{
    window_rest(w, c);
    window_open(w, c, unit);
}

/* Another of the thread's spans of which enough is free. */
static bool window_change(struct window *w, const struct cache *c)
{
    uint32_t unit;
    while ((unit = oldest(w)) != 0) {
        struct span *span = &c->map[unit - 1];
        if (!span_has_rested(span, w->nslots))
            return false;
        forget_oldest(w);
        if (span_wake(span, w)) {
            window_swap(w, c, unit);
            return true;
        }
    }
    return false;
}

/* The same for wide spans. All are looked at, and their few slots are counted, as the hint would
 * tell of none, or of many; what is the thread's no more is forgotten. */
static bool window_change_wide(struct window *w, const struct cache *c)
{
    for (unsigned n = w->nresting; n > 0; n--) {
        uint32_t unit = oldest(w);
        struct span *span = &c->map[unit - 1];
        bool rests = span_rests(span, w);
        bool ready = rests && are_enough(free_slots(span->states, w->nslots), w->nslots, EIGHTH);
        forget_oldest(w);
        if (ready && span_wake(span, w)) {
            window_swap(w, c, unit);
            return true;
        }
        if (rests && !ready)
            window_remember(w, unit);
    }
    return false;
}

static void window_close(struct spans *s, struct window *w)
{
    uint32_t unit;
    for (; (unit = oldest(w)) != 0; forget_oldest(w))
        if (span_wake(span_at(s, unit), w))
            spans_release(s, unit);
    if (w->unit != 0)
        spans_release(s, w->unit);
    spans_free_ours(s, w);
}

/* --- taking -------------------------------------------------------------------------- */

static bool window_take_or_change(struct window *w, const struct cache *c, size_t nbytes,
                                  void **object)
{
    bool has = w->mask != 0 || window_scan(w, c, EIGHTH) ||
               (window_change(w, c) && window_scan(w, c, EIGHTH));
    if (has)
        *object = window_take_any(w, w->mask, nbytes);
    return has;
}

static bool window_take_large_or_change(struct window *w, const struct cache *c, size_t nbytes,
                                        void **object)
{
    bool (*change)(struct window *, const struct cache *) =
        is_wide(w->slot_bytes) ? window_change_wide : window_change;
    bool has = w->mask != 0 || window_scan(w, c, ANY) || (change(w, c) && window_scan(w, c, ANY));
    return has && window_take_large(w, nbytes, object);
}

bool cache_take(struct thread *t, size_t nbytes, unsigned sizeclass, void **object)
{
    bool taken = false, large = sizeclass > sizeclass_of(CACHE_SMALL_MAX);
    thread_enter(t);
    const struct cache *c = thread_cache(t);
    if (c != NULL)
        taken = (large ? window_take_large_or_change : window_take_or_change)(c->window[sizeclass],
                                                                              c, nbytes, object);
    thread_leave(t);
    return taken;
}

/* The window of a class; `none` if there is no room for one. */
static struct window *window_of(struct spans *s, struct cache *c, unsigned sizeclass)
{
    struct window *w = c->window[sizeclass];
    if (w != &c->none || (w = spans_take_ours(s, sizeof *w)) == NULL)
        return c->window[sizeclass];
    c->window[sizeclass] = w;
    size_t first = sizeclass == 0 ? 0 : sizeclass_bytes(sizeclass - 1) / GRANULE_BYTES + 1;
    size_t last = sizeclass_bytes(sizeclass) / GRANULE_BYTES;
    for (size_t i = first; i <= last && i < NBY_SIZE; i++)
        c->by_size[i] = w;
    return w;
}

/* The one that has rested longest is anybody's, if there are too many. */
static void make_room_to_rest(struct spans *s, struct window *w)
{
    if (w->nresting < NRESTING)
        return;
    uint32_t unit = oldest(w);
    forget_oldest(w);
    if (span_wake(span_at(s, unit), w))
        spans_release_used(s, unit);
}

/* A wide span that a thread hardly uses keeps half a MiB from all others: if there are others,
 * those that want but a few of its slots share one, under the lock. */
static bool is_worth_a_span(const struct spans *s, struct window *w, unsigned sizeclass)
{
    enum { A_FEW = 8 };
    bool alone = s->threads.first->next == NULL, has = w->unit != 0 || w->nresting > 0;
    return alone || has || !is_wide(sizeclass_bytes(sizeclass)) || w->wanted++ >= A_FEW;
}

bool cache_refill_locked(struct spans *s, struct thread *t, unsigned sizeclass)
{
    struct cache *c = t->cache;
    struct window *w = c == NULL ? NULL : window_of(s, c, sizeclass);
    if (w == NULL || w == &c->none || !is_worth_a_span(s, w, sizeclass))
        return false;
    make_room_to_rest(s, w);
    w->is_alone = s->threads.first->next == NULL;
    window_rest(w, c);
    uint32_t unit = spans_adopt(s, sizeclass);
    if (unit == 0)
        return false;
    window_open(w, c, unit);
    return window_scan(w, c, EIGHTH) || window_scan(w, c, ANY);
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
        c->by_size[i] = &c->none;
    for (size_t i = 0; i < NCLASSES; i++)
        c->window[i] = &c->none;
    threads_join_locked(&s->threads, &c->member, t);
    thread_set_cache(t, c);
}

/* It is no member any more. */
static void cache_free_ours(struct spans *s, struct cache *c)
{
    for (unsigned i = 0; i < NCLASSES; i++)
        if (c->window[i] != &c->none)
            window_close(s, c->window[i]);
    spans_free_ours(s, c);
}

static void close_cache(struct spans *s, struct cache *c)
{
    threads_leave_locked(&s->threads, &c->member);
    cache_free_ours(s, c);
}

void cache_close_locked(struct spans *s, struct thread *t)
{
    struct cache *c = t->cache;
    thread_set_cache(t, NULL);
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
        cache_free_ours(s, (struct cache *)m); /* the thread's own memory may be gone */
    }
    if (mine->cache != NULL)
        threads_join_locked(&s->threads, &mine->cache->member, mine->cache->member.thread);
}

bool caches_revoke_locked(struct spans *s)
{
    struct member *m;
    for (m = s->threads.first; m != NULL; m = m->next)
        thread_set_cache(m->thread, NULL);
    bool quiet = threads_wait_locked(&s->threads);
    while (quiet && s->threads.first != NULL)
        close_cache(s, (struct cache *)s->threads.first);
    for (m = s->threads.first; m != NULL; m = m->next)
        thread_set_cache(m->thread, (struct cache *)m);
    return quiet;
}

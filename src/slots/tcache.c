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
static bool window_scan(struct window *w, const struct tcache *c, unsigned part)
{
    uint32_t start = w->first;
    if (w->slice == 0)
        return false;
    do {
        if (window_look(w, part))
            return true;
        window_move(w, w->first + STATES_AT_ONCE < w->used ? w->first + STATES_AT_ONCE : 0);
    } while (w->first != start);
    while (w->used < w->nslots) {
        window_widen(w, &c->view.pagemap[w->slice - 1]);
        if (window_look(w, part))
            return true;
    }
    w->mask = 0;
    return false;
}

static void window_open(struct window *w, const struct tcache *c, uint32_t slice)
{
    const struct span *span = &c->view.pagemap[slice - 1];
    w->states = span->states;
    w->far = far_slack(span->states, span->nslots, 0);
    w->base = (unsigned char *)(c->view.base + ((uintptr_t)(slice - 1) << SLICE_SHIFT));
    w->slot_bytes = span->slot_bytes;
    w->full = span->slot_bytes + 1;
    w->first = 0;
    w->nslots = span->nslots;
    w->used = span->used > 0 ? span->used : least(STATES_AT_ONCE, span->nslots);
    w->slice = slice;
    w->last = 0;
}

/* --- spans that rest ---------------------------------------------------------------- */

static uint32_t oldest(const struct window *w)
{
    return w->nparked == 0 ? 0 : w->parked[w->oldest];
}

static void parked_pop(struct window *w)
{
    w->oldest = (uint16_t)(w->oldest + 1) % NPARKED;
    w->nparked--;
}

/* There is room for one more. */
static void parked_push(struct window *w, uint32_t slice)
{
    w->parked[(w->oldest + w->nparked) % NPARKED] = slice;
    w->nparked++;
}

static void window_park(struct window *w, const struct tcache *c)
{
    if (w->slice == 0)
        return;
    uint32_t slice = w->slice;
    w->mask = 0;
    w->slice = 0; /* first: a fork that comes now must not find it in two places */
    parked_push(w, slice);
    span_park(&c->view.pagemap[slice - 1], w->nslots, w->is_alone && is_wide(w->slot_bytes), w);
}

static void window_swap(struct window *w, const struct tcache *c, uint32_t slice)
{
    window_park(w, c);
    window_open(w, c, slice);
}

/* Another of the thread's spans of which enough is free. */
static bool window_change(struct window *w, const struct tcache *c)
{
    uint32_t slice;
    while ((slice = oldest(w)) != 0) {
        struct span *span = &c->view.pagemap[slice - 1];
        if (!span_is_reusable(span, w->nslots))
            return false;
        parked_pop(w);
        if (span_unpark(span, w)) {
            window_swap(w, c, slice);
            return true;
        }
    }
    return false;
}

/* The same for wide spans. All are looked at, and their few slots are counted, as the hint would
 * tell of none, or of many; what is the thread's no more is forgotten. */
static bool window_change_wide(struct window *w, const struct tcache *c)
{
    for (unsigned n = w->nparked; n > 0; n--) {
        uint32_t slice = oldest(w);
        struct span *span = &c->view.pagemap[slice - 1];
        bool is_parked = span_is_parked(span, w);
        bool ready =
            is_parked && are_enough(free_slots(span->states, w->nslots), w->nslots, EIGHTH);
        parked_pop(w);
        if (ready && span_unpark(span, w)) {
            window_swap(w, c, slice);
            return true;
        }
        if (is_parked && !ready)
            parked_push(w, slice);
    }
    return false;
}

static void window_close(struct spans *s, struct window *w)
{
    uint32_t slice;
    for (; (slice = oldest(w)) != 0; parked_pop(w))
        if (span_unpark(pagemap_span(s, slice), w))
            spans_release(s, slice);
    if (w->slice != 0)
        spans_release(s, w->slice);
    spans_free_metadata(s, w);
}

/* --- taking -------------------------------------------------------------------------- */

static bool window_take_or_change(struct window *w, const struct tcache *c, size_t nbytes,
                                  void **object)
{
    bool has = w->mask != 0 || window_scan(w, c, EIGHTH) ||
               (window_change(w, c) && window_scan(w, c, EIGHTH));
    if (has)
        *object = window_take_any(w, w->mask, nbytes);
    return has;
}

static bool window_take_large_or_change(struct window *w, const struct tcache *c, size_t nbytes,
                                        void **object)
{
    bool (*change)(struct window *, const struct tcache *) =
        is_wide(w->slot_bytes) ? window_change_wide : window_change;
    bool has = w->mask != 0 || window_scan(w, c, ANY) || (change(w, c) && window_scan(w, c, ANY));
    return has && window_take_large(w, nbytes, object);
}

bool tcache_take(struct thread *t, size_t nbytes, unsigned sizeclass, void **object)
{
    bool taken = false, large = sizeclass > sizeclass_of(TCACHE_SMALL_MAX);
    reader_enter(t);
    const struct tcache *c = thread_tcache(t);
    if (c != NULL)
        taken = (large ? window_take_large_or_change : window_take_or_change)(c->window[sizeclass],
                                                                              c, nbytes, object);
    reader_leave(t);
    return taken;
}

/* The window of a class; `none` if there is no room for one. */
static struct window *window_of(struct spans *s, struct tcache *c, unsigned sizeclass)
{
    struct window *w = c->window[sizeclass];
    if (w != &c->none || (w = spans_take_metadata(s, sizeof *w)) == NULL)
        return c->window[sizeclass];
    c->window[sizeclass] = w;
    size_t first = sizeclass == 0 ? 0 : sizeclass_bytes(sizeclass - 1) / GRANULE_BYTES + 1;
    size_t last = sizeclass_bytes(sizeclass) / GRANULE_BYTES;
    for (size_t i = first; i <= last && i < NBY_SIZE; i++)
        c->by_size[i] = w;
    return w;
}

/* The one that has rested longest is anybody's, if there are too many. */
static void make_room_to_park(struct spans *s, struct window *w)
{
    if (w->nparked < NPARKED)
        return;
    uint32_t slice = oldest(w);
    parked_pop(w);
    if (span_unpark(pagemap_span(s, slice), w))
        spans_release_used(s, slice);
}

/* A wide span that a thread hardly uses keeps half a MiB from all others: if there are others,
 * those that want but a few of its slots share one, under the lock. */
static bool count_towards_span(const struct spans *s, struct window *w, unsigned sizeclass)
{
    enum { A_FEW = 8 };
    bool alone = s->threads.first->next == NULL, has = w->slice != 0 || w->nparked > 0;
    return alone || has || !is_wide(sizeclass_bytes(sizeclass)) || w->wanted++ >= A_FEW;
}

bool tcache_refill_locked(struct spans *s, struct thread *t, unsigned sizeclass)
{
    struct tcache *c = t->tcache;
    struct window *w = c == NULL ? NULL : window_of(s, c, sizeclass);
    if (w == NULL || w == &c->none || !count_towards_span(s, w, sizeclass))
        return false;
    make_room_to_park(s, w);
    w->is_alone = s->threads.first->next == NULL;
    window_park(w, c);
    uint32_t slice = spans_adopt(s, sizeclass);
    if (slice == 0)
        return false;
    window_open(w, c, slice);
    return window_scan(w, c, EIGHTH) || window_scan(w, c, ANY);
}

/* --- caches ------------------------------------------------------------------------- */

void tcache_open_locked(struct spans *s, struct thread *t)
{
    struct tcache *c = spans_take_metadata(s, sizeof *c);
    if (c == NULL)
        return;
    const struct region *r = &s->chunks->region;
    c->view.base = pagemap_address(s, 1);
    c->view.nbytes = (uintptr_t)r->base + r->nbytes - c->view.base;
    c->view.pagemap = pagemap_span(s, 1);
    for (size_t i = 0; i < NBY_SIZE; i++)
        c->by_size[i] = &c->none;
    for (size_t i = 0; i < NCLASSES; i++)
        c->window[i] = &c->none;
    threads_join_locked(&s->threads, &c->member, t);
    thread_set_tcache(t, c);
}

/* It is no member any more. */
static void tcache_free_memory(struct spans *s, struct tcache *c)
{
    for (unsigned i = 0; i < NCLASSES; i++)
        if (c->window[i] != &c->none)
            window_close(s, c->window[i]);
    spans_free_metadata(s, c);
}

static void close_tcache(struct spans *s, struct tcache *c)
{
    threads_leave_locked(&s->threads, &c->member);
    tcache_free_memory(s, c);
}

void tcache_close_locked(struct spans *s, struct thread *t)
{
    struct tcache *c = t->tcache;
    thread_set_tcache(t, NULL);
    if (c != NULL)
        close_tcache(s, c);
}

void tcaches_close_others_locked(struct spans *s, const struct thread *mine)
{
    struct member *next, *all = s->threads.first;
    s->threads.first = NULL; /* nobody is left to be waited for */
    for (struct member *m = all; m != NULL; m = next) {
        next = m->next;
        if (m->thread == mine)
            continue;
        tcache_free_memory(s, (struct tcache *)m); /* the thread's own memory may be gone */
    }
    if (mine->tcache != NULL)
        threads_join_locked(&s->threads, &mine->tcache->member, mine->tcache->member.thread);
}

bool tcaches_revoke_locked(struct spans *s)
{
    struct member *m;
    for (m = s->threads.first; m != NULL; m = m->next)
        thread_set_tcache(m->thread, NULL);
    bool quiet = threads_wait_locked(&s->threads);
    while (quiet && s->threads.first != NULL)
        close_tcache(s, (struct tcache *)s->threads.first);
    for (m = s->threads.first; m != NULL; m = m->next)
        thread_set_tcache(m->thread, (struct tcache *)m);
    return quiet;
}

/* SPDX-License-Identifier: MIT
 *
 * tcache.c - the life of a thread's cache, and the slow path of taking from it.
 * Invariants: tcache.h.
 */
#include "slots/tcache.h"

/* --- taking -------------------------------------------------------------------------- */

/* Large and small slots differ in how much has to be free for a window to be worth the trouble.
 * None of this takes the lock, and another thread may free slots meanwhile, or claim a parked
 * span. */
bool tcache_take(struct thread *t, size_t nbytes, unsigned sizeclass, void **object, bool *clean)
{
    assert(sizeclass < NCLASSES && nbytes <= sizeclass_bytes(sizeclass));
    bool taken = false;
    if (clean != NULL)
        *clean = false;
    reader_enter(t);
    struct tcache *c = thread_tcache(t);
    if (c != NULL) {
        struct class_window *w = c->window[sizeclass];
        if (w->at.mask == 0) /* a window with free slots is not looked for */
            window_warm(w, ++c->nlooks);
        /* The window of a class that the thread has not used has slots of 0 bytes. */
        taken = w->slot_bytes > TCACHE_SMALL_MAX
                    ? window_take_large_or_change(w, &c->view, nbytes, object, clean)
                    : window_take_or_change(w, &c->view, nbytes, object);
    }
    reader_leave(t);
    return taken;
}

/* Returns the window of a class, and makes one if the thread has not used the class yet; &none
 * if there is no room for one. All sizes between the class below and this one lead to it. */
static struct class_window *tcache_window(struct spans *s, struct tcache *c, unsigned sizeclass)
{
    struct class_window *w = c->window[sizeclass];
    if (w != &c->none || (w = spans_take_metadata(s, sizeof *w)) == NULL)
        return c->window[sizeclass];
    c->window[sizeclass] = w;
    size_t first = sizeclass == 0 ? 0 : sizeclass_bytes(sizeclass - 1) / GRANULE_BYTES + 1;
    size_t last = sizeclass_bytes(sizeclass) / GRANULE_BYTES;
    /* by_size[i] is for sizes that take i granules. */
    for (size_t i = first; i <= last && i < NBY_SIZE; i++)
        c->by_size[i] = w;
    /* by_wide_size[i] is for sizes of up to i + 1 steps. */
    for (size_t i = NARROW_BYTES_MAX / WIDE_STEP; i < NBY_WIDE_SIZE; i++)
        if (sizeclass_of((i + 1) * WIDE_STEP) == sizeclass)
            c->by_wide_size[i] = w;
    return w;
}

/* Returns whether the thread should get a span of the class. A large-slot span that a single thread
 * hardly uses would keep up to 2 MiB from all others; so, if there are other threads, the first few
 * wishes for such a slot are served under the lock, from a span that all share. Counts the wish. */
static bool count_towards_span(const struct spans *s, struct class_window *w, unsigned sizeclass)
{
    enum { A_FEW = 8 };
    bool alone = s->threads.first->next == NULL, has = w->slice != 0 || w->nparked > 0;
    return alone || has || !is_wide(sizeclass_bytes(sizeclass)) || w->wanted++ >= A_FEW;
}

/* Gives up the empty spans of classes that the thread has not looked for lately, so that their
 * memory and its pages serve the classes that it uses now. */
static void tcache_release_idle(struct spans *s, struct tcache *c)
{
    enum { LATELY = 64 };
    for (unsigned i = 0; i < NCLASSES; i++)
        if (c->nlooks - c->window[i]->looked > LATELY)
            window_release_if_empty(s, c->window[i]);
}

/* The span that is used up is parked first, so that a refile under this lock may claim it. A new
 * span may have been in use before, and then the first 64 slots with enough free may be
 * anywhere. */
bool tcache_refill_locked(struct spans *s, struct thread *t, unsigned sizeclass)
{
    assert(t->busy == 0); /* else the lock holder waits for itself [TH2] */
    struct tcache *c = t->tcache;
    struct class_window *w = c == NULL ? NULL : tcache_window(s, c, sizeclass);
    if (w == NULL || w == &c->none || !count_towards_span(s, w, sizeclass))
        return false;
    window_make_room_to_park(s, w);
    w->is_alone = s->threads.first->next == NULL;
    window_park(w, &c->view);
    if (spans_count_if_due(s))
        tcache_release_idle(s, c);
    uint32_t slice = spans_adopt(s, sizeclass);
    if (slice == 0)
        return false;
    window_open(w, &c->view, slice);
    return window_find(w, &c->view, WINDOW_EIGHTH) || window_find(w, &c->view, WINDOW_ANY);
}

/* --- the life of a cache ------------------------------------------------------------ */

/* The thread's pointer is set last: then the thread, or a signal handler in it, uses the cache. */
void tcache_open_locked(struct spans *s, struct thread *t)
{
    assert(t->tcache == NULL && s->slice_shift == SLICE_SHIFT); /* entry_find knows the shift */
    struct tcache *c = spans_take_metadata(s, sizeof *c);
    if (c == NULL)
        return;
    const struct region *r = &s->chunks->region;
    c->view.base = pagemap_address(s, 1);
    c->view.nbytes = (uintptr_t)r->base + r->nbytes - c->view.base;
    c->view.pagemap = pagemap_span(s, 1);
    /* Until the thread uses a class, its window has no slots; so no fast path asks for NULL. */
    for (size_t i = 0; i < NBY_SIZE; i++)
        c->by_size[i] = &c->none;
    for (size_t i = 0; i < NBY_WIDE_SIZE; i++)
        c->by_wide_size[i] = &c->none;
    for (size_t i = 0; i < NCLASSES; i++)
        c->window[i] = &c->none;
    if (s->threads.first != NULL)
        s->may_have_raced = 1;
    threads_join_locked(&s->threads, &c->member, t);
    thread_set_tcache(t, c);
}

/* Gives up what a cache holds, and frees it. Its thread no longer reads it. */
static void tcache_free_memory(struct spans *s, struct tcache *c)
{
    assert(c->none.slice == NO_SLICE && c->none.at.mask == 0);
    for (unsigned i = 0; i < NCLASSES; i++)
        if (c->window[i] != &c->none)
            window_close(s, c->window[i]);
    spans_free_metadata(s, c, sizeof *c);
}

/* The list of threads forgets the cache before its memory goes. */
static void tcache_remove(struct spans *s, struct tcache *c)
{
    threads_leave_locked(&s->threads, &c->member);
    tcache_free_memory(s, c);
}

/* What the thread frees and takes after this goes through the heap, under the lock. */
void tcache_close_locked(struct spans *s, struct thread *t)
{
    struct tcache *c = t->tcache;
    assert(c == NULL || c->member.thread == t);
    thread_set_tcache(t, NULL); /* first: a signal handler in this thread must not use it */
    if (c != NULL)
        tcache_remove(s, c);
}

/* Returns whether the cache has a span that has an owner: in its window, or parked. `c` may be
 * NULL. */
static bool tcache_has(const struct tcache *c, uint32_t slice, const struct span *span)
{
    const struct class_window *w = c == NULL ? NULL : c->window[span->sizeclass];
    return w != NULL && (w->slice == slice || span_is_parked(span, w));
}

/* Gives up each span that has an owner, but is not the cache's. A thread of the parent may have
 * been between two stores to its window, without the lock, and its span then in no window and not
 * parked. */
static void tcaches_release_lost(struct spans *s, const struct tcache *mine)
{
    /* To release a span may give others back, and the page map with the last of them. */
    for (uint32_t slice = 1; slice <= spans_last_slice(s); slice++) {
        struct span *span = pagemap_span(s, slice);
        if (span->status != SPAN_OWNED || tcache_has(mine, slice, span))
            continue;
        __atomic_store_n(&span->parked_by, NULL, __ATOMIC_RELAXED);
        spans_release(s, slice);
    }
}

/* The list is emptied first: no other thread is left to be waited for. The caches are in the
 * region, while their threads' own words may be gone.
 *
 * If a signal handler forks that has interrupted its thread in a look at spans, what that thread
 * has in its registers is not known, and no span is taken for lost. */
void tcaches_close_others_locked(struct spans *s, const struct thread *mine)
{
    struct member *next, *all = s->threads.first;
    bool were_others = all != NULL && (all->next != NULL || all->thread != mine);
    s->threads.first = NULL;
    for (struct member *m = all; m != NULL; m = next) {
        next = m->next;
        if (m->thread == mine)
            continue;
        tcache_free_memory(s, (struct tcache *)m);
    }
    if (mine->tcache != NULL)
        threads_join_locked(&s->threads, &mine->tcache->member, mine->tcache->member.thread);
    if (were_others && mine->busy == 0)
        tcaches_release_lost(s, mine->tcache);
}

/* Each thread loses its pointer, then all of them leave [GR1], then the caches go. If the
 * barrier is refused, each thread gets its pointer back. */
bool tcaches_revoke_locked(struct spans *s)
{
    struct member *m;
    /* From here on no thread becomes a reader of its cache; after the wait none is one. */
    for (m = s->threads.first; m != NULL; m = m->next)
        thread_set_tcache(m->thread, NULL);
    bool quiet = threads_wait_locked(&s->threads);
    while (quiet && s->threads.first != NULL)
        tcache_remove(s, (struct tcache *)s->threads.first);
    for (m = s->threads.first; m != NULL; m = m->next)
        thread_set_tcache(m->thread, (struct tcache *)m);
    return quiet;
}

/* SPDX-License-Identifier: MIT
 *
 * cache.h - what a thread has to itself: a span of each class, and no lock.
 *
 *     by_size[(n + 15) / 16] ---> window ---> 64 states of the thread's span
 *                                 mask: those that it found to be 0
 *                                 resting: spans that it has used up, the oldest first
 *
 *   TC1  to take is to take a bit out of the mask, and to set that state. Only the
 *       owner of a span does it [SP3], so what it saw free stays free for it;
 *   TC2  to free is to set a state to 0, by any thread, and looks only at the states:
 *       who owns the span does not matter;
 *   TC3  both are done while the thread is `busy` (thread.h): the span does not become
 *       anything else meanwhile, whatever the address is and whoever frees there, too.
 *       So what is refused here was judged by states that were there;
 *   TC4  a span that is used up rests. It is still the thread's, which takes it again
 *       without the lock when some of it is free again; unless somebody took it over, under
 *       the lock, since most of it was freed meanwhile. Both compare and swap [SP6];
 *   TC5  what cannot be done here is done under the lock. All caches go, with their
 *       windows, before anybody is told that there is no space: each thread's pointer is
 *       made NULL, and who is busy is waited for.
 *
 * Nothing on the fast paths is a read-modify-write that other processors have to see.
 * The idea of a window of free bits is that of tcmalloc's and Go's span allocators;
 * states instead of lists is what makes frees from elsewhere the same as one's own.
 */
#ifndef CACHE_H
#define CACHE_H

#include "slots/window.h"

enum { TCACHE_SMALL_MAX = 2048 };
static_assert(SLICE_BYTES / TCACHE_SMALL_MAX < STATES_AT_ONCE, "larger slots are in one window");
enum { NBY_SIZE = TCACHE_SMALL_MAX / GRANULE_BYTES + 1 };

/* Only its thread uses it; and who has the lock, after the thread was parted from it. */
struct tcache {
    struct member member; /* the first */
    struct slot_view view;
    struct class_window *by_size[NBY_SIZE];
    struct class_window *window[NCLASSES]; /* of classes that it has not used, `none` */
    struct class_window none;              /* in which there is nothing */
};

/* Makes a cache for the calling thread; without one if there is no room. */
void tcache_open_locked(struct spans *s, struct thread *t);

/* What the thread's cache holds, if it has one, is anybody's. The thread is the
 * calling one, or is known not to be busy. */
void tcache_close_locked(struct spans *s, struct thread *t);

/* After fork, in the child, there is but one thread: all other caches are closed. */
void tcaches_close_others_locked(struct spans *s, const struct thread *mine);

/* Closes all caches: false if that was not possible. */
bool tcaches_revoke_locked(struct spans *s);

/* An object of nbytes in a slot of that class, if the thread's own span has one, whatever
 * the window knows. */
bool tcache_take(struct thread *t, size_t nbytes, unsigned sizeclass, void **object);

/* Gets the thread another span, so that tcache_take has some. False: there is no room, or
 * no cache. */
bool tcache_refill_locked(struct spans *s, struct thread *t, unsigned sizeclass);

/* --- the fast paths ---------------------------------------------------------------- */

/* An object of at most TCACHE_SMALL_MAX bytes, from the slots that its window knows to be
 * free. False: see tcache_take. */
static inline bool tcache_take_small(struct thread *t, size_t nbytes, void **object)
{
    bool taken = false;
    reader_enter(t);
    const struct tcache *c = thread_tcache(t);
    if (c != NULL && nbytes <= TCACHE_SMALL_MAX) {
        struct class_window *w = c->by_size[(nbytes + 15) / 16];
        uint64_t mask = w->at.mask;
        taken = mask != 0;
        if (taken)
            *object = window_take(w, mask, w->full - (uint32_t)nbytes);
    }
    reader_leave(t);
    return taken;
}

/* The same at a multiple of align, any power of two: if what both need is small. A few bytes
 * at a multiple of 256 have more slack than such a slot can tell. */
static inline bool tcache_take_aligned(struct thread *t, size_t nbytes, size_t align, void **object)
{
    enum { LEAST = ALL_NEAR_MAX - SLACK_NEAR_MAX };
    size_t room = sizeclass_room(nbytes, align);
    bool taken = false;
    reader_enter(t);
    const struct tcache *c = thread_tcache(t);
    if (c != NULL && nbytes - LEAST <= TCACHE_SMALL_MAX - LEAST && room <= TCACHE_SMALL_MAX) {
        struct class_window *w = c->by_size[(room + 15) / 16];
        uint64_t mask = w->at.mask;
        taken = mask != 0;
        if (taken)
            *object = window_take_any(w, mask, nbytes);
    }
    reader_leave(t);
    return taken;
}

/* One of a class of large slots, those above TCACHE_SMALL_MAX. */
static inline bool tcache_take_large(struct thread *t, size_t nbytes, unsigned sizeclass,
                                     void **object)
{
    reader_enter(t);
    const struct tcache *c = thread_tcache(t);
    bool taken = c != NULL && window_take_large(c->window[sizeclass], nbytes, object);
    reader_leave(t);
    return taken;
}

/* Reads only what a span has published. The thread is busy. False: no such slot can be
 * seen, which does not say that there is no object. */
static inline bool tcache_find(const struct tcache *c, const void *address, struct slot_ref *at)
{
    size_t offset;
    if (c == NULL || !slot_view_has(&c->view, (uintptr_t)address, &offset))
        return false;
    struct span *span = &c->view.pagemap[offset >> SLICE_SHIFT];
    uint32_t reciprocal = __atomic_load_n(&span->reciprocal_published, __ATOMIC_ACQUIRE);
    return slot_of_start(span, (uintptr_t)address & (SLICE_BYTES - 1), reciprocal, at) &&
           __atomic_load_n(at->state, __ATOMIC_RELAXED) != 0;
}

/* As tcache_find, in spans of WIDE_SLICES. */
static inline bool tcache_find_wide(const struct tcache *c, const void *address,
                                    struct slot_ref *at)
{
    size_t offset;
    if (c == NULL || !slot_view_has(&c->view, (uintptr_t)address, &offset))
        return false;
    size_t slice = offset >> SLICE_SHIFT;
    slice -= __atomic_load_n(&c->view.pagemap[slice].back, __ATOMIC_RELAXED);
    struct span *span = &c->view.pagemap[slice];
    uint32_t reciprocal = __atomic_load_n(&span->reciprocal_published_wide, __ATOMIC_ACQUIRE);
    uint32_t into = (uint32_t)(offset - (slice << SLICE_SHIFT));
    /* In eights of bytes; what is no multiple is more than there is, and so is what is torn. */
    uint32_t eighths = into >> WIDE_SHIFT | into << (32 - WIDE_SHIFT);
    return eighths < WIDE_SLICES * SLICE_BYTES >> WIDE_SHIFT &&
           slot_of_start(span, eighths, reciprocal, at) &&
           __atomic_load_n(at->state, __ATOMIC_RELAXED) != 0;
}

enum tcache_freed { TCACHE_FREED, TCACHE_FREED_REFILE, TCACHE_NOT_FREED };

static inline enum tcache_freed slot_ref_free(const struct slot_ref *at)
{
    bool positive = count_down(&at->span->countdown);
    __atomic_store_n(at->state, 0, __ATOMIC_RELEASE);
    return positive ? TCACHE_FREED : TCACHE_FREED_REFILE;
}

static inline enum tcache_freed tcache_finish_free(struct thread *t, bool found,
                                                   const struct slot_ref *at)
{
    enum tcache_freed freed = found ? slot_ref_free(at) : TCACHE_NOT_FREED;
    reader_leave(t);
    return freed;
}

/* Frees the object that begins at `address`: TCACHE_NOT_FREED if none can be seen to do
 * so; TCACHE_FREED_REFILE: it is done, and now spans_refile is due. */
static inline enum tcache_freed tcache_free(struct thread *t, const void *address)
{
    struct slot_ref at;
    reader_enter(t);
    return tcache_finish_free(t, tcache_find(thread_tcache(t), address, &at), &at);
}

/* The same for objects in wide spans. If it is the one that the thread takes slots of, it
 * knows at once that this one is free: to look at the states soon after they were written to
 * would wait for these writes, and for all before them. */
static inline enum tcache_freed tcache_free_wide(struct thread *t, const void *address)
{
    struct slot_ref at;
    reader_enter(t);
    const struct tcache *c = thread_tcache(t);
    bool found = tcache_find_wide(c, address, &at);
    if (found) {
        struct class_window *w = c->window[at.span->sizeclass];
        bool mine = w->slice == (uint32_t)(at.span - c->view.pagemap) + 1;
        w->at.mask |= (uint64_t)mine << at.index;
    }
    return tcache_finish_free(t, found, &at);
}

/* Gives the object that begins at `address` another size where it is, if that can be told in
 * the state alone, and is not 0: then it does not give up most of the slot. False: see
 * tcache_resize. */
static inline bool tcache_resize_near(struct thread *t, const void *address, size_t nbytes)
{
    struct slot_ref at;
    bool done = false;
    reader_enter(t);
    if (tcache_find(thread_tcache(t), address, &at) && nbytes - 1 < at.span->slot_bytes) {
        size_t slack = at.span->slot_bytes - nbytes;
        done = slack <= SLACK_NEAR_MAX && state_replace(at.state, (uint8_t)(slack + 1));
    }
    reader_leave(t);
    return done;
}

/* --- objects of any size ------------------------------------------------------------ */

static inline bool tcache_find_any(const struct tcache *c, const void *address, struct slot_ref *at)
{
    return tcache_find(c, address, at) || tcache_find_wide(c, address, at);
}

/* Of a slot that was found, with what it says of itself now. */
static inline size_t slot_ref_size(const struct slot_ref *at)
{
    return at->span->slot_bytes - state_slack(at->state - at->index, at->span->nslots, at->index);
}

/* The size of the object that begins at `address`; false if none can be seen to. */
static inline bool tcache_size(struct thread *t, const void *address, size_t *nbytes)
{
    struct slot_ref at;
    reader_enter(t);
    bool found = tcache_find_any(thread_tcache(t), address, &at);
    if (found)
        *nbytes = slot_ref_size(&at);
    reader_leave(t);
    return found;
}

/* Gives that object another size where it is; false: not there. *old is the size that it had,
 * or SIZE_MAX if none can be seen. */
static inline bool tcache_resize(struct thread *t, const void *address, size_t nbytes, size_t *old)
{
    struct slot_ref at;
    bool done = false;
    reader_enter(t);
    *old = SIZE_MAX;
    if (tcache_find_any(thread_tcache(t), address, &at)) {
        *old = slot_ref_size(&at);
        done = slot_suits(at.span->slot_bytes, *old, nbytes) &&
               state_resize_object(at.state - at.index, at.span->nslots, at.index,
                                   at.span->slot_bytes - (uint32_t)nbytes);
    }
    reader_leave(t);
    return done;
}

#endif

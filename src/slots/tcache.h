/* SPDX-License-Identifier: MIT
 *
 * tcache.h - a thread's cache: spans of its own, from which it takes slots without a lock.
 *
 *     by_size[(n + 15) / 16] ---> class_window ---> 64 states of the thread's span
 *                                 mask              those that are known to be 0
 *                                 parked            spans that it has used up, the oldest first
 *
 *   TC1  to take a slot is to take a bit out of a mask and to set that slot's state [WI1];
 *   TC2  to free an object is to set its state to 0. Any thread may do it, and looks only at the
 *        page map and the state: which thread owns the span does not matter;
 *   TC3  both are done by a reader (thread.h). So the span cannot become anything else meanwhile,
 *        whatever the address is, and whatever other threads free: an address that is refused
 *        was judged by states that were there;
 *   TC4  a span that is used up is parked. The thread takes it back without the lock when some of
 *        it is free again, unless the lock holder has claimed it meanwhile [SP6];
 *   TC5  what cannot be done here is done under the lock. Before a caller is told that there is
 *        no space, all caches are closed, with their windows: the pointer of each thread is set
 *        to NULL, and a grace period follows.
 *
 * No fast path has a read-modify-write that other processors must see. Windows of free bits are
 * also in Go's and tcmalloc's span allocators. Since states take the place of free lists, a free by
 * another thread is the same few instructions as a free by the owner.
 */
#ifndef TCACHE_H
#define TCACHE_H

#include "slots/window.h"

enum { TCACHE_SMALL_MAX = 2048 };
static_assert((int)TCACHE_SMALL_MAX == CLEAN_FROM, "the slack of what may be clean is always far");
static_assert(SLICE_BYTES / TCACHE_SMALL_MAX < STATES_AT_ONCE, "larger slots are in one window");
enum { NBY_SIZE = TCACHE_SMALL_MAX / GRANULE_BYTES + 1 };

/* The slots of large-slot spans are whole multiples of this many bytes. */
enum { WIDE_STEP = 4096, NBY_WIDE_SIZE = SLOT_BYTES_MAX / WIDE_STEP };
static_assert((int)NARROW_BYTES_MAX == FEWER_FROM && WIDE_STEP == FEWER_FROM / 2,
              "above FEWER_FROM there are two classes to a doubling");

/* Only its thread uses it, as a reader; or the lock holder, when the thread has been parted from
 * it. */
struct tcache {
    struct member member;  /* the first field: it stands for the cache */
    struct slot_view view; /* to the end of the region */
    uint32_t nlooks;       /* how often the thread has looked for free slots [WI4] */
    /* The window for each small size, by (nbytes + 15) / 16; for each size in a large-slot span, by
     * (nbytes - 1) / WIDE_STEP; and for each class. &none if the thread has not used the class. */
    struct class_window *by_size[NBY_SIZE], *by_wide_size[NBY_WIDE_SIZE], *window[NCLASSES];
    struct class_window none; /* has no span, and its mask is 0 */
};

/* Makes a cache for the calling thread. Without room for one, the thread has none. The caller
 * holds the lock. */
void tcache_open_locked(struct spans *s, struct thread *t);

/* Closes the cache of a thread, if it has one: its spans are counted and have no owner. The
 * thread is the calling one, or is known not to be a reader. The caller holds the lock. */
void tcache_close_locked(struct spans *s, struct thread *t);

/* In the child after a fork: closes the caches of all threads except the one of `mine`, as the
 * child has no other thread. The caller holds the lock. */
void tcaches_close_others_locked(struct spans *s, const struct thread *mine);

/* Closes all caches. Returns false, and closes none, if the system refuses the barrier. The
 * caller holds the lock. */
bool tcaches_revoke_locked(struct spans *s);

/* Takes an object of nbytes in a slot of that class from any span that the thread owns. Returns
 * false if it has no cache, or if hardly a slot is free in them: then tcache_refill_locked is
 * due. Stores whether all of the slot is known to be zero, unless `clean` is NULL. */
bool tcache_take(struct thread *t, size_t nbytes, unsigned sizeclass, void **object, bool *clean);

/* Gets the thread another span, so that tcache_take finds slots. Returns false if there is no
 * room, no cache, or no need that is worth a span. The caller holds the lock, and is the thread,
 * but no reader. */
bool tcache_refill_locked(struct spans *s, struct thread *t, unsigned sizeclass);

/* --- the fast paths ---------------------------------------------------------------- */

/* Takes an object of at most TCACHE_SMALL_MAX bytes from the slots that its window knows to be
 * free. Returns false if there is none: then tcache_take is next. */
static inline bool tcache_take_small(struct thread *t, size_t nbytes, void **object)
{
    bool taken = false;
    if (nbytes > TCACHE_SMALL_MAX)
        return false;
    reader_enter(t);
    const struct tcache *c = thread_tcache(t);
    if (c != NULL) {
        struct class_window *w = c->by_size[(nbytes + 15) / 16];
        uint64_t mask = w->at.mask;
        taken = mask != 0;
        if (taken)
            *object = window_take(w, mask, (uint8_t)(w->full - (uint32_t)nbytes));
    }
    reader_leave(t);
    return taken;
}

/* Takes an object as tcache_take_small does, when that has found no bit in the mask: looks at the
 * states of these 64 slots again, then at the next 64. Returns false if hardly one of them is free:
 * then tcache_take is next. */
__attribute__((always_inline)) static inline bool tcache_take_again(struct thread *t, size_t nbytes,
                                                                    void **object)
{
    bool taken = false;
    if (nbytes > TCACHE_SMALL_MAX)
        return false;
    reader_enter(t);
    struct tcache *c = thread_tcache(t);
    if (c != NULL) {
        struct class_window *w = c->by_size[(nbytes + 15) / 16];
        taken = window_look_near(w);
        if (taken) {
            window_warm(w, ++c->nlooks);
            *object = window_take(w, w->at.mask, (uint8_t)(w->full - (uint32_t)nbytes));
        }
    }
    reader_leave(t);
    return taken;
}

/* Takes an object of nbytes at a multiple of align, a power of two, if the slot for both is
 * small. Returns false if the window knows of none, or if the size is 0 or very small: a few
 * bytes at a multiple of 256 have more slack than the state of such a slot can say. */
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

/* Takes an object from a class of large slots, those above TCACHE_SMALL_MAX. Returns false if
 * the window knows of none. Stores whether all of the slot is known to be zero, unless `clean` is
 * NULL. */
static inline bool tcache_take_large(struct thread *t, size_t nbytes, unsigned sizeclass,
                                     void **object, bool *clean)
{
    reader_enter(t);
    const struct tcache *c = thread_tcache(t);
    bool taken = c != NULL && window_take_large(c->window[sizeclass], nbytes, object, clean);
    reader_leave(t);
    return taken;
}

/* Takes an object of more than NARROW_BYTES_MAX and at most SLOT_BYTES_MAX bytes, as
 * tcache_take_large does. */
static inline bool tcache_take_wide(struct thread *t, size_t nbytes, void **object)
{
    reader_enter(t);
    const struct tcache *c = thread_tcache(t);
    bool taken =
        c != NULL && window_take_wide(c->by_wide_size[(nbytes - 1) / WIDE_STEP], nbytes, object);
    reader_leave(t);
    return taken;
}

/* Finds the page map entry of the slice that an address lies in. Returns false if the address is
 * not one of the heap's. */
static inline bool tcache_find_entry(const struct tcache *c, const void *address,
                                     struct span **entry)
{
    size_t offset;
    if (c == NULL || !slot_view_has(&c->view, (uintptr_t)address, &offset))
        return false;
    *entry = &c->view.pagemap[offset >> SLICE_SHIFT];
    return true;
}

/* Finds the small slot that begins at an address, which lies in the slice of that entry, and that
 * holds an object. Reads only what the span has published; the thread is a reader. Returns false
 * if no such slot can be seen, which does not mean that there is no object. */
static inline bool entry_find(struct span *entry, const void *address, struct slot_ref *at)
{
    uint32_t reciprocal = __atomic_load_n(&entry->reciprocal_published, __ATOMIC_ACQUIRE);
    return slot_of_start(entry, (uintptr_t)address & (SLICE_BYTES - 1), reciprocal, at) &&
           __atomic_load_n(at->state, __ATOMIC_RELAXED) != 0;
}

/* Finds the large slot that begins at an address and holds an object, as entry_find does.
 *
 * The offset in the span is `back` slices and the low bits of the address. It is counted in units
 * of 2^WIDE_SHIFT bytes. The rotation that puts it together moves the bits below a unit to the top:
 * so the index for an address that is no multiple of a unit is far beyond the slots of the span. If
 * `back` was changing, the span may be another one, of fewer slices: the comparison of the index
 * finds that, too. */
static inline bool entry_find_wide(struct span *entry, const void *address, struct slot_ref *at)
{
    uint32_t back = __atomic_load_n(&entry->back, __ATOMIC_RELAXED);
    struct span *span = entry - back;
    uint32_t reciprocal = __atomic_load_n(&span->reciprocal_published_wide, __ATOMIC_ACQUIRE);
    uint32_t parts = (uint32_t)(uintptr_t)address << (32 - SLICE_SHIFT) | back;
    uint32_t units = rotate_left(parts, SLICE_SHIFT - WIDE_SHIFT);
    return slot_of_start(span, units, reciprocal, at) && at->index < span->nslots &&
           __atomic_load_n(at->state, __ATOMIC_RELAXED) != 0;
}

/* Finds the small slot that begins at an address and holds an object, as entry_find does. */
static inline bool tcache_find(const struct tcache *c, const void *address, struct slot_ref *at)
{
    struct span *entry;
    return tcache_find_entry(c, address, &entry) && entry_find(entry, address, at);
}

/* Finds the slot that begins at an address and holds an object, small or large, as entry_find
 * does. */
static inline bool tcache_find_any(const struct tcache *c, const void *address, struct slot_ref *at)
{
    struct span *entry;
    return tcache_find_entry(c, address, &entry) &&
           (entry_find(entry, address, at) || entry_find_wide(entry, address, at));
}

enum tcache_freed { TCACHE_FREED, TCACHE_FREED_REFILE, TCACHE_NOT_FREED };

/* Frees a slot that was found: the countdown first, then the state, since the state's release
 * store ends the object's life. Returns TCACHE_FREED_REFILE if that was the end of the
 * countdown. */
static inline enum tcache_freed slot_ref_free(const struct slot_ref *at)
{
    bool positive = count_down(&at->span->countdown);
    __atomic_store_n(at->state, 0, __ATOMIC_RELEASE);
    return positive ? TCACHE_FREED : TCACHE_FREED_REFILE;
}

/* Frees the slot, if it was found, and ends the reader. */
static inline enum tcache_freed tcache_finish_free(struct thread *t, bool found,
                                                   const struct slot_ref *at)
{
    enum tcache_freed freed = found ? slot_ref_free(at) : TCACHE_NOT_FREED;
    reader_leave(t);
    return freed;
}

/* Frees the object that begins at an address. Returns TCACHE_NOT_FREED if no slot with an object
 * can be seen there; TCACHE_FREED_REFILE if it is freed, and spans_refile is due. */
__attribute__((always_inline)) static inline enum tcache_freed tcache_free(struct thread *t,
                                                                           const void *address)
{
    struct slot_ref at;
    struct span *entry;
    bool found = false;
    reader_enter(t);
    const struct tcache *c = thread_tcache(t);
    if (tcache_find_entry(c, address, &entry)) {
        found = entry_find(entry, address, &at);
        if (!found && (found = entry_find_wide(entry, address, &at)))
            window_note_freed(c->window[at.span->sizeclass], at.state - at.index, at.index);
    }
    return tcache_finish_free(t, found, &at);
}

/* Frees the object that begins at an address if it has nbytes. Returns TCACHE_NOT_FREED if no small
 * slot with such an object can be seen there, else as tcache_free does. */
static inline enum tcache_freed tcache_free_sized(struct thread *t, const void *address,
                                                  size_t nbytes)
{
    struct slot_ref at;
    reader_enter(t);
    bool found =
        tcache_find(thread_tcache(t), address, &at) &&
        at.span->slot_bytes - state_slack(at.state - at.index, at.span->nslots, at.index) == nbytes;
    return tcache_finish_free(t, found, &at);
}

/* Gives the object that begins at an address another size where it is, if the new slack fits
 * into the state. A size of 0 is not done here: the object would give up most of the slot.
 * Returns false if nothing was done: then tcache_resize is next. */
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

/* Returns the size of the object in a slot that was found, as its state is now. */
static inline size_t slot_ref_size(const struct slot_ref *at)
{
    uint32_t state = __atomic_load_n(at->state, __ATOMIC_RELAXED);
    return at->span->slot_bytes -
           slack_of(at->state - at->index, at->span->nslots, at->index, state);
}

/* Stores the size of the object that begins at an address. Returns false if none can be seen. */
static inline bool tcache_size(struct thread *t, const void *address, size_t *nbytes)
{
    struct slot_ref at = {0};
    reader_enter(t);
    bool found = tcache_find_any(thread_tcache(t), address, &at);
    if (found)
        *nbytes = slot_ref_size(&at);
    reader_leave(t);
    return found;
}

/* Gives the object that begins at an address another size where it is. Returns false if that is
 * not possible. Stores the size that it had, or SIZE_MAX if no object can be seen. */
static inline bool tcache_resize(struct thread *t, const void *address, size_t nbytes, size_t *old)
{
    struct slot_ref at = {0};
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

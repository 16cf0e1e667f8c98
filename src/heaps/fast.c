/* SPDX-License-Identifier: MIT
 *
 * fast.c - mem_alloc, mem_free, mem_resize: the fast paths, in a heap that has an hcache. What they
 * cannot do, objects.c does. Invariants: hcache.h, session.h.
 *
 * A heap says by its first word which fast path it has, so that one compare decides:
 *
 *     HEAP_FAST           the heap is its thread's alone         no lock
 *     HEAP_FAST_LOCKED    threads share the heap                 the same, between lock and unlock
 *     anything else       no hcache, or no heap at all           objects.c
 *
 * The fast path verifies no checksum [HD4]. It changes a window, one state, and the counts, none of
 * which needs more than a plain store: no other thread writes to them, and a lookup reads only the
 * state, which is one byte. Three cases need more, and then `changes` is odd meanwhile [SE3]:
 *
 *     a window has no free slot     it moves on in its span, or is given another span
 *     a countdown ends              the span of a freed slot goes where it belongs now
 *     anything else                 a session (objects.c)
 *
 * Where a function is noinline, that keeps registers free for the path that does not call it.
 */
#include "base/seqcount.h"
#include "core/heap.h"
#include "heaps/hcache.h"
#include "heaps/header.h"
#include "heaps/objects.h"
#include "heaps/readers.h"
#include "heaps/session.h"

/* --- whether there is a fast path ------------------------------------------------ */

/* Also of an address at which there is no heap, as far as it can be read: no section of the header
 * is looked at before the first word was compared. */
static inline bool has_magic(const mem_heap *m, uint32_t magic)
{
    return m != NULL && (uintptr_t)m % HEAP_ALIGN == 0 && m->magic == magic;
}

/* Returns the hcache of a heap that is the calling thread's alone, or NULL: it has none, is being
 * walked, or is no heap. */
static inline struct hcache *hcache_alone(const mem_heap *m)
{
    return has_magic(m, HEAP_FAST) && m->walker == NULL ? header_hcache(m) : NULL;
}

static void unlock_hcache(mem_heap *m)
{
    assert(mutator_depth > 0);
    lock_release(header_lock(m));
    mutator_leave();
}

/* Takes the lock of a heap that threads share, and returns its hcache; unlock_hcache releases it.
 * Returns NULL, with nothing to be released, if it has none, is being walked by the calling thread,
 * or is no heap. Also if another thread was changing it when this process was forked [SE3]: then
 * the slow way finds it damaged. */
static struct hcache *lock_hcache(mem_heap *m)
{
    if (!has_magic(m, HEAP_FAST_LOCKED))
        return NULL;
    mutator_enter(); /* SE2 */
    if (!session_lock(m)) {
        mutator_leave();
        return NULL;
    }
    if (m->changes % 2 == 0)
        return header_hcache(m);
    unlock_hcache(m);
    return NULL;
}

/* What changes more than the state of a slot is between these two [SE2, SE3]. */
static void begin_change(mem_heap *m)
{
    mutator_enter();
    change_begin(&m->changes);
}

static void end_change(mem_heap *m)
{
    change_end(&m->changes);
    mutator_leave();
}

/* --- taking ---------------------------------------------------------------- */

/* Counts an object that was taken. Returns it. */
static inline void *count_taken(mem_heap *m, void *object, size_t size)
{
    if (object == NULL)
        return NULL;
    m->nlive++;
    header_count_bytes(m, size, 0);
    object_show(object, size);
    return object;
}

/* Takes a slot that the window of the size knows to be free. */
static inline void *take_from_window(mem_heap *m, struct hcache *q, size_t size)
{
    return count_taken(m, hcache_take(q, size), size);
}

/* Moves the window of the class, or gives it another span. */
static void *take_by_moving_window(mem_heap *m, struct hcache *q, size_t size)
{
    begin_change(m);
    void *object = hcache_take_slow(q, header_at(m, m->state), size);
    end_change(m);
    return count_taken(m, object, size);
}

/* Takes a slot of a heap that threads share. The lock is held throughout, so that the counts and
 * the windows are this thread's, as in a heap that is its own. */
static void *take_with_lock(mem_heap *m, size_t size)
{
    struct hcache *q = lock_hcache(m);
    if (q == NULL)
        return NULL;
    void *object = take_from_window(m, q, size);
    if (object == NULL)
        object = take_by_moving_window(m, q, size);
    unlock_hcache(m);
    return object;
}

/* Of a heap without a fast path, or that has no slot at hand: in the heap's own style. */
__attribute__((noinline)) static void *alloc_slow(mem_heap *m, size_t size)
{
    struct hcache *q = hcache_alone(m);
    void *object = q != NULL ? take_by_moving_window(m, q, size) : take_with_lock(m, size);
    return object != NULL ? object : object_alloc(m, &(struct request){size, 1, header_style(m)});
}

MEM_API void *mem_alloc(mem_heap *heap, size_t size)
{
    struct hcache *q = hcache_alone(heap);
    void *object = q == NULL ? NULL : take_from_window(heap, q, size);
    return object != NULL ? object : alloc_slow(heap, size);
}

/* No other thread knows of the object yet, so it is cleared without the lock. */
MEM_API void *mem_zalloc(mem_heap *heap, size_t size)
{
    void *object = mem_alloc(heap, size);
    return object == NULL ? NULL : memset(object, 0, size);
}

/* --- giving back ----------------------------------------------------------- */

/* The countdown of the span has ended: its states are counted again (slots/span.h). */
static void refile(mem_heap *m, const void *address)
{
    begin_change(m);
    heap_refile_locked(header_at(m, m->state), address);
    end_change(m);
}

/* Frees the object that begins at `address`, if it is in a slot whose state tells its size. */
static inline bool give_back_slot(mem_heap *m, struct hcache *q, void *address)
{
    size_t size;
    bool is_due;
    if (!hcache_free(q, address, &size, &is_due))
        return false;
    m->nlive--;
    m->live_bytes -= size;
    if (is_due)
        refile(m, address);
    object_hide(address, size);
    return true;
}

/* A free of a shared heap, or one that the fast path does not do: a chunk, an address inside an
 * object, a slot whose state does not tell its slack, a pointer that is refused. */
__attribute__((noinline)) static enum mem_result free_slow(mem_heap *m, void *address, bool exact)
{
    struct hcache *q = lock_hcache(m);
    bool done = q != NULL && give_back_slot(m, q, address);
    if (q != NULL)
        unlock_hcache(m);
    return done ? MEM_OK : object_free(m, address, exact);
}

static inline __attribute__((always_inline)) enum mem_result free_fast(mem_heap *m, void *address,
                                                                       bool exact)
{
    struct hcache *q = hcache_alone(m);
    bool done = q != NULL && give_back_slot(m, q, address);
    return done ? MEM_OK : free_slow(m, address, exact);
}

/* Neither call reads the object: what is there is told by the heap's own data alone. */
MEM_API enum mem_result mem_free(mem_heap *heap, void *object)
{
    return free_fast(heap, object, true);
}

/* The start of an object, which is what most callers have, is also freed by the fast path. */
MEM_API enum mem_result mem_free_any(mem_heap *heap, void *address)
{
    return free_fast(heap, address, false);
}

/* --- resizing -------------------------------------------------------------- */

/* Gives an object another size within its slot, if its state can tell both. */
static bool resize_in_slot(mem_heap *m, const struct hcache *q, void *object, size_t size)
{
    size_t old;
    bool done = hcache_resize(q, object, size, &old);
    if (!done)
        return false;
    header_count_bytes(m, size, old);
    object_show_resized(object, old, size);
    return true;
}

static bool resize_with_lock(mem_heap *m, void *object, size_t size)
{
    const struct hcache *q = lock_hcache(m);
    bool done = q != NULL && resize_in_slot(m, q, object, size);
    if (q != NULL)
        unlock_hcache(m);
    return done;
}

/* NULL is no object yet; else the object stays where it is if its slot suits the new size. */
MEM_API void *mem_resize(mem_heap *heap, void *object, size_t size)
{
    if (object == NULL)
        return mem_alloc(heap, size);
    const struct hcache *q = hcache_alone(heap);
    bool done =
        q != NULL ? resize_in_slot(heap, q, object, size) : resize_with_lock(heap, object, size);
    return done ? object : object_resize(heap, object, size);
}

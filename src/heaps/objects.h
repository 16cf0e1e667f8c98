/* SPDX-License-Identifier: MIT
 *
 * objects.h - objects taken, freed and resized in the slow way: in a session, by the heap's rules.
 *
 * fast.c tries the fast paths first, and comes here with what they do not do. The ways of one
 * request, from the outside to the inside:
 *
 *     mem_alloc                fast.c      a free slot of a window that is open
 *       alloc_slow             fast.c      the same with the lock, and if windows have to move
 *         object_alloc         objects.c   asks the caller for room while there is none
 *           try_alloc          objects.c   one session: the limits of the heap
 *             session_take     objects.c   counts the object, fills it
 *               place          objects.c   in the hcache's slots, or with all windows closed
 *                 place_chunk  objects.c   in the first part that has room; moves the guard
 */
#ifndef OBJECTS_H
#define OBJECTS_H

#include "mem_heap.h"

#include "base/poison.h"
#include "core/heap.h"

/* An object that is asked for. `align` is a power of two; beyond HEAP_ALIGN, `style` is
 * MEM_ANY_FIT or MEM_BEST_FIT. */
struct request {
    size_t size, align;
    enum mem_style style;
};

/* Returns a new object, or NULL with the error noted. Calls on_exhausted if there is no room for
 * it, and tries again as long as that returns true. */
void *object_alloc(mem_heap *m, const struct request *w);

/* Frees the object that begins at `address`, or that `address` is in if the caller does not want it
 * `exact`. Does nothing for NULL. Returns why it was refused, after on_refused was called. */
enum mem_result object_free(mem_heap *m, const void *address, bool exact);

/* Gives the object that begins at `object` another size, and returns where it is then: where it was
 * if there is room, else elsewhere. Returns NULL, with the error noted and nothing changed, if
 * there is no such object or no room; calls on_refused or on_exhausted then. */
void *object_resize(mem_heap *m, void *object, size_t size);

/* --- for AddressSanitizer [PO1] ------------------------------------------------------ */

/* The object may be touched, and what lies behind it may not. */
static inline void object_show(void *object, size_t size)
{
    unpoison(object, size);
    poison((char *)object + size, ceil_div(size, GRANULE_BYTES) * GRANULE_BYTES - size);
}

/* What was an object, or a part of one, may no longer be touched. The heap's lock is held. */
static inline void object_hide(void *from, size_t nbytes)
{
    poison(from, nbytes);
}

/* An object of `old` bytes has `size` now, where it lies. */
static inline void object_show_resized(void *object, size_t old, size_t size)
{
    if (size < old)
        object_hide((char *)object + size, old - size);
    object_show(object, size);
}

#endif

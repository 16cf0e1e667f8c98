/* SPDX-License-Identifier: MIT
 *
 * heap.h - one heap: a region, the ledger and the slots in it, and a lock around them.
 *
 * What is wrong with a call is found out here, once. The face above (mem.c, malloc.c,
 * mem_heap.h's calls) turns the result into what its caller expects: a return value and
 * m_error, a line on stderr, an enum mem_result.
 *
 *   HP1  a call that does not return HEAP_OK has changed no object and nothing that is known of
 *        addresses, except that HEAP_LIST_DAMAGED has mended the node that it reports, and that
 *        before HEAP_NO_SPACE free memory was gathered [HP2];
 *   HP2  HEAP_NO_SPACE is only returned after threads gave up their free slots and all empty
 *        spans went back [SP5];
 *   HP3  a free never needs memory, so it cannot fail for want of any.
 *
 * Any thread may call a function whose name does not end in _locked. For those that do, the
 * caller holds the lock that guards the heap: h->lock, or in a heap of one's own the lock in
 * its header. The calls of mem_heap.h use only functions that end in _locked.
 */
#ifndef HEAP_H
#define HEAP_H

#include "base/lock.h"
#include "base/os.h"
#include "core/counters.h"
#include "core/huge.h"
#include "core/trim.h"
#include "ledger/chunks.h"
#include "slots/tcache.h"

struct heap {
    struct lock lock; /* guards everything below, unless the face has its own lock */
    struct chunks chunks;
    struct spans spans;
    bool has_tcaches; /* threads may have caches */
    bool is_swept;    /* no slot was freed, and no cache made, since all spans were looked at */
    bool keeps_pages; /* the memory is the caller's: none of it goes back to the system */
    bool gives_whole_pages;    /* to objects of LARGE_OBJECT or more */
    bool wants_huge_pages;     /* for objects of HUGE_OBJECT or more, and for all of a large heap */
    bool has_huge_pages;       /* some of its memory got them */
    struct trim trim;          /* when free pages go back to the system */
    struct huge huge;          /* whether huge pages are asked for now */
    struct os_clock clock;     /* for trim and huge */
    struct counters *counters; /* NULL: the heap does not count what it does */
};

struct object {
    void *start;
    size_t size; /* in bytes, as asked for */
};

/* What became of a call, and what an address is: the one vocabulary for both. */
enum heap_result {
    HEAP_OK,           /* of an address: it is in a live object */
    HEAP_NO_SPACE,     /* no free chunk is large enough */
    HEAP_LIST_DAMAGED, /* the node of the free chunk to be used was overwritten; it is mended */
    HEAP_NOT_OURS,     /* the address is outside the region */
    HEAP_NO_OBJECT,    /* it is in the region, but in slack or in metadata */
    HEAP_FREE,         /* it is in free memory: freed already, or never given out */
    HEAP_NO_REGION,    /* the heap has not been opened */
    HEAP_INSIDE,       /* it is in a live object, but not its start */
    HEAP_DAMAGED,      /* the metadata contradict each other: something has overwritten them */
    HEAP_CHANGING,     /* of a lookup without the lock: the heap was being changed; ask again */
    HEAP_NOT_A_SLOT    /* of a lookup in slots: the address is in no span */
};

/* Two libraries in one process may share a heap if this is equal in both. It changes with
 * struct heap and with the layout of what lies in a region. */
#define HEAP_LAYOUT (((size_t)9 << 16) + sizeof(struct heap))

/* From this size on, in bytes, an object gets whole pages of WHOLE_PAGE_BYTES, if the heap gives
 * such: what rounding adds is less than a 16th. Then large objects share no page, all pages of one
 * that is freed can go back, and a word at the start of each page lies in a cache line that the
 * object before has used, wherever the two begin. */
enum { LARGE_OBJECT = 64 << 10, WHOLE_PAGE_BYTES = 4096 };

/* From this size on, in bytes, an object gets huge pages, if the heap wants them: one of them at
 * least begins in it. */
enum { HUGE_OBJECT = HUGE_PAGE_BYTES };

/* --- opening ------------------------------------------------------------------- */

/* Makes a heap of a region, all of which is free then. The region is 16-byte aligned and has at
 * most REGION_BYTES_MAX bytes; what is not a whole granule at its end is not used. `head` is
 * where the free list begins, or NULL for a heap without one; with a list the region has at
 * most 2 GiB, since the size in a node is an int. h->lock is free, or the caller's.
 * If the region is large enough, small objects that may lie anywhere (FIT_ANY) get slots;
 * if there is no list either, threads may have caches. */
void heap_open_locked(struct heap *h, struct region region, MemNodePtr *head);

/* Makes one of many heaps, without a list, thread caches or a system call; its lock is the
 * caller's affair. A small region may have slots, too. With keeps_pages no memory goes back to
 * the system, and with keeps_spans a few empty spans are kept for the next object. */
void heap_open_single(struct heap *h, struct region region, bool keeps_pages, bool keeps_spans);

/* Makes a heap in a mapping with a guard of `page` granules between objects and records (LG6).
 * It has no slots. */
void heap_open_guarded(struct heap *h, struct region region, uint32_t page);

/* Returns whether all numbers of a heap that never change are those of `like`, which was made in
 * the same way, in the same region, and elsewhere; and no change is under way. No other number was
 * checked before, and none is followed. */
bool heap_has_constants_of(const struct heap *h, const struct heap *like);

/* Takes from `was` what a heap in a region has stored once, and from nowhere else: the numbers of
 * the ledger, and where the page map is. `h` was just made in that region, by heap_open_single.
 * What `was` says is to be checked (check_given_locked), and then spans_make_anew does the rest. */
void heap_make_anew(struct heap *h, const struct heap *was);

/* Takes the caches of all threads away, and gives them no others: from now on each call takes the
 * lock. May be called before the heap is opened; then threads could still get caches when it is.
 * Returns false, and changes nothing, if the cache of some thread cannot be taken away. */
bool heap_close_tcaches_locked(struct heap *h);

/* From now on `counters`, all 0 before, says exactly what the heap holds and does. That is
 * counted under the lock, so no thread has a cache any longer. May be called before the heap is
 * opened. Returns false, and does not count, if the cache of some thread cannot be taken away. */
bool heap_count_locked(struct heap *h, struct counters *counters);

/* Take and let go of h->lock. */
void heap_lock(struct heap *h);
void heap_unlock(struct heap *h);

/* --- taking and freeing -------------------------------------------------------- */

/* Takes an object of nbytes and stores its start. An object of 0 bytes has a start, too, which
 * no other live object has. Returns HEAP_OK, HEAP_NO_SPACE, HEAP_LIST_DAMAGED, HEAP_DAMAGED
 * or HEAP_NO_REGION. O(log n). */
enum heap_result heap_take(struct heap *h, size_t nbytes, enum fit fit, void **object);

/* Takes an object, as heap_take does with FIT_ANY, and stores which part of it is known to be zero;
 * its size is 0 if none is. The rest holds whatever it held before. */
enum heap_result heap_take_clean(struct heap *h, size_t nbytes, void **object, struct object *zero);

/* Takes an object at a multiple of `align` bytes, a power of two, as heap_take does with
 * FIT_ANY. The heap has no free list. */
enum heap_result heap_take_aligned(struct heap *h, size_t nbytes, size_t align, void **object);

/* heap_take and heap_take_aligned in one. An `align` beyond 16 goes with FIT_BEST and FIT_ANY
 * only. */
enum heap_result heap_place_locked(struct heap *h, size_t nbytes, size_t align, enum fit fit,
                                   void **object);

/* Returns whether the records leave room for an object that is a chunk of its own. The system may
 * still refuse to open the memory for it. The heap has no free list. */
bool heap_has_room(const struct heap *h, size_t nbytes, size_t align);

/* Frees the object that `address` lies in. Returns HEAP_OK; or says why there is none, and
 * changes nothing. O(log n). */
enum heap_result heap_free(struct heap *h, const void *address);

/* Frees the object that begins at `address`. Any other address inside an object is
 * HEAP_INSIDE, and changes nothing. */
enum heap_result heap_free_exact(struct heap *h, const void *address);

/* heap_free_exact if `exact`, else heap_free. Stores what was freed, and gives no page back to the
 * system: the caller may still write to what was the object, and then calls
 * heap_trim_if_time_locked. */
enum heap_result heap_free_locked(struct heap *h, const void *address, bool exact,
                                  struct object *found);

/* Gives the object that begins at `address` the size nbytes where it lies; what it holds stays,
 * as far as it fits. Returns HEAP_OK; HEAP_NO_SPACE, and nothing has changed; or why no object
 * begins there. Unless `anyway`, it is HEAP_NO_SPACE also if the object would shrink and pin more
 * than it keeps [M6]: the caller should move it. The heap has no free list. O(log n).
 * heap_resize_locked does so `anyway`. What the object has given up keeps its pages, as with
 * heap_free_locked. */
enum heap_result heap_resize(struct heap *h, const void *address, size_t nbytes, bool anyway);
enum heap_result heap_resize_locked(struct heap *h, const void *address, size_t nbytes);

/* --- what is at an address ----------------------------------------------------- */

/* Stores the object that `address` lies in and returns HEAP_OK; or says why there is none. */
enum heap_result heap_find(struct heap *h, const void *address, struct object *found);

/* Stores that object, too, but returns HEAP_INSIDE if it does not begin at `address`. */
enum heap_result heap_find_exact(struct heap *h, const void *address, struct object *found);
enum heap_result heap_find_locked(const struct heap *h, const void *address, struct object *found);

/* --- objects with more room than they have bytes --------------------------------
 *
 * What a hardened malloc needs (malloc/hard.h): it keeps a canary behind each object, and objects
 * that were freed but not given back yet. The room of an object is its whole slot or chunk.
 *
 * The caller holds the lock, and the heap has neither a free list nor thread caches. */

/* Of a heap that has no span yet: if `guard`, closes the end of each span [SP8], where a page is
 * small enough for that. If `clears`, clears what the library had in slots of its own before
 * objects get the memory. If `random` is not 0, a generator that starts there chooses among free
 * slots. */
void heap_harden_locked(struct heap *h, bool guard, bool clears, uint64_t random);

/* Takes an object of nbytes that has *room bytes or more, at a multiple of `align`, a power of two.
 * If *room is a granule, the object has just that where there is a slot or a record for it. Stores
 * how much room it has; and unless `zero` is NULL, which part of it is known to be zero. Results
 * are those of heap_take. */
enum heap_result heap_take_room_locked(struct heap *h, size_t nbytes, size_t *room, size_t align,
                                       void **object, struct object *zero);

/* Where an object was found to be: good until the heap's next change. */
struct location {
    bool in_span;
    struct slot slot;
    struct ledger_place place;
};

/* Returns how much room the object has that was found there. */
static inline size_t location_room(const struct location *at)
{
    return at->in_span ? at->slot.bytes : (size_t)at->place.chunk.length * GRANULE_BYTES;
}

/* Says what an address is, as heap_find_exact does. Stores the object whose room the address lies
 * in, and where it is; a start of NULL says that there is none. */
enum heap_result heap_locate_locked(const struct heap *h, const void *address, struct object *found,
                                    struct location *at);

/* Notes that an object has nbytes now, at most its room; the room stays as it is. Returns false,
 * and changes nothing, if so much slack cannot be noted: a slot of 256 bytes must keep three, one
 * of 64 KiB two, and a chunk can have 4 GiB of slack. */
bool heap_relabel_locked(struct heap *h, const struct location *at, size_t nbytes);

/* Frees an object. */
void heap_free_located_locked(struct heap *h, const struct location *at);

/* --- pages --------------------------------------------------------------------- */

/* Gives the memory of all free pages back to the system, those between objects in slots, too.
 * Returns false if there were none among slots, and nothing else had been freed since that was last
 * done. Frees do so by themselves every now and then (trim.h), but leave slots and holes of less
 * than 64 KiB alone. The heap has no free list. O(h log n) for h holes of a page or more, and O(s)
 * for s slots; other threads wait. */
bool heap_trim(struct heap *h);

/* Gives free pages back to the system if it is time to (trim.h), after a call that did not. */
void heap_trim_if_time_locked(struct heap *h);

/* Returns how much of the region's address space is reserved and was never used. */
size_t heap_spare_bytes(struct heap *h);

/* Gives what is more than `keep` bytes of that back to the system. The heap cannot get it again. */
void heap_give_up_spare(struct heap *h, size_t keep);

/* --- threads ------------------------------------------------------------------- */

/* Gives the calling thread a cache, so that it takes and frees small objects without the
 * lock (tcache.h). It has none afterwards (t->tcache == NULL) if the heap can have none or is
 * nearly full, and may lose it again when another thread needs the last of the space. */
void heap_join(struct heap *h, struct thread *t);

/* Takes the cache of the calling thread, which is about to end, and gives it no other. */
void heap_leave(struct heap *h, struct thread *t);

/* In the child of a fork the calling thread is the only one: gives up the caches of all others.
 * `mine` is the calling thread, or NULL if it never used the heap. */
void heap_forked_locked(struct heap *h, struct thread *mine);

/* Returns the class of slots for nbytes at a multiple of `align`, a power of two; NCLASSES if such
 * an object gets no slot. The answer does not change while the heap is open. */
unsigned heap_sizeclass(const struct heap *h, size_t nbytes, size_t align);

/* Finds free slots of a class, so that tcache_take has some where it had none. Returns false if
 * there is no room, or if the thread has no cache. */
bool heap_refill(struct heap *h, struct thread *t, unsigned sizeclass);

/* Counts the free slots of the span around `address` and files it anew. tcache_free asks for
 * this after enough frees [SP5]. */
void heap_refile(struct heap *h, const void *address);
void heap_refile_locked(struct heap *h, const void *address);

#endif

/* SPDX-License-Identifier: MIT
 *
 * heap.h - one heap: a region, its ledger, and the lock around both.
 *
 * The inside judges, the edge decides: what is wrong with a call is found out
 * here, once; mem.c makes a return value and m_error of it.
 *
 * Any thread may call what is not named _locked.
 */
#ifndef HEAP_H
#define HEAP_H

#include <pthread.h>

#include "slots/tcache.h"
#include "ledger/chunks.h"
#include "core/counters.h"
#include "core/trim.h"

struct heap {
    pthread_mutex_t lock; /* guards everything below */
    struct chunks chunks;
    struct spans spans;
    bool has_tcaches; /* for threads */
    bool is_swept;    /* no slot was freed, and no cache made, since all spans were looked at */
    bool keeps_pages; /* the memory is the caller's: none goes back to the system */
    struct trim trim; /* when free pages go back to the system */
    struct counters *counters; /* NULL: nobody counts */
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

/* Makes a heap of a region that is 16-byte aligned, as far as it is whole granules
 * and at most REGION_BYTES_MAX. `head` is where the free list begins (then the
 * region is at most 2 GiB: the size in a node is an int), or NULL for none. The
 * lock is the caller's to initialise. A large enough heap has spans: small objects that
 * may be placed anywhere (FIT_ANY) come from slots; and if it has no list, threads may
 * have caches. */
void heap_open_locked(struct heap *h, struct region region, MemNodePtr *head);

/* The same for one of several heaps, without a list: no caches, no system call, the lock
 * is the caller's; and empty spans are free memory at once, unless a few are to be kept. */
void heap_open_single(struct heap *h, struct region region, bool keeps_pages, bool keeps_spans);

/* The same in a mapping with a fence (fence.h) of a page, in granules; and without spans. */
void heap_open_guarded(struct heap *h, struct region region, uint32_t page);

/* A new object of nbytes. 0 is an object, too: it has a start and no byte. HEAP_OK,
 * HEAP_NO_SPACE, HEAP_LIST_DAMAGED, HEAP_NO_REGION. */
enum heap_result heap_take(struct heap *h, size_t nbytes, enum fit fit, void **object);

/* The same by best fit, at a multiple of `align` bytes, a power of two. Only in a
 * heap without a free list. */
enum heap_result heap_take_aligned(struct heap *h, size_t nbytes, size_t align, void **object);

/* Frees the object that `address` lies in, or says why not and changes nothing. */
enum heap_result heap_free(struct heap *h, const void *address);

/* The object that `address` lies in, or why there is none. */
enum heap_result heap_find(struct heap *h, const void *address, struct object *found);

/* The same two for callers that must know where their object begins: any other
 * address inside it is HEAP_INSIDE. */
enum heap_result heap_free_exact(struct heap *h, const void *address);
enum heap_result heap_find_exact(struct heap *h, const void *address, struct object *found);

/* The same for who has a lock of its own, or needs none. Beyond 16, `align` goes with
 * FIT_BEST and FIT_ANY only. Inside an object is HEAP_INSIDE, but for a free that is not
 * `exact`; it tells what it freed. */
enum heap_result heap_place_locked(struct heap *h, size_t nbytes, size_t align, enum fit fit,
                                   void **object);
enum heap_result heap_find_locked(const struct heap *h, const void *address, struct object *found);
enum heap_result heap_free_locked(struct heap *h, const void *address, bool exact,
                                  struct object *found);
enum heap_result heap_resize_locked(struct heap *h, const void *address, size_t nbytes);

/* Gives the object that begins at `address` the size nbytes where it lies, with what
 * it holds as far as that fits: HEAP_OK; HEAP_NO_SPACE, and nothing has changed; or
 * why there is no such object. Only in a heap without a free list. */
enum heap_result heap_resize(struct heap *h, const void *address, size_t nbytes);

/* Gives the memory of all free pages back to the system. False if nothing had been
 * freed since that was last done. Frees do it themselves every now and then, but
 * leave short holes alone. Only in a heap without a free list. O(h log n) for h
 * holes of a page or more, and other threads wait. */
bool heap_trim(struct heap *h);

/* Gives the calling thread a cache, so that it takes and frees small objects without the
 * lock (cache.h). It has none afterwards (t->cache == NULL) if the heap can have none, or
 * is nearly full; and loses it again when somebody else needs the last of the space. */
void heap_join(struct heap *h, struct thread *t);

/* The calling thread is about to end: it gets no cache any more. */
void heap_leave(struct heap *h, struct thread *t);

/* In the child of a fork: the calling thread is the only one. */
void heap_forked_locked(struct heap *h, struct thread *mine);

/* The class of slots for nbytes at a multiple of `align`, a power of two; NCLASSES: they
 * are not for a slot. Does not change while the heap is open. */
unsigned heap_sizeclass(const struct heap *h, size_t nbytes, size_t align);

/* Finds free slots of a class, so that tcache_take has some, where it had none. False:
 * there is no room, or no cache. */
bool heap_refill(struct heap *h, struct thread *t, unsigned sizeclass);

/* What tcache_free asks for after it has freed `address`. */
void heap_refile(struct heap *h, const void *address);
void heap_refile_locked(struct heap *h, const void *address);

/* From now on `counts`, all 0 before, says exactly what the heap has in it and does. That
 * is done under the lock, so threads have no caches any more. Also before the heap is
 * opened. False: some thread's cache could not be taken away, and nothing is counted. */
bool heap_count_locked(struct heap *h, struct counters *counters);

/* The region from its first byte to the ledger, piece by piece in address order. */
enum piece_kind {
    PIECE_OBJECT,
    PIECE_FREE,      /* a free chunk */
    PIECE_FREE_SLOT, /* a free slot among others of its size */
    PIECE_METADATA   /* what the library needs for spans, and what is left over in them */
};
struct piece {
    unsigned char *start;
    size_t nbytes; /* up to the next one */
    size_t size;   /* of an object, as asked for */
    enum piece_kind kind;
};

/* The piece that begins `offset` bytes into the region: 0, or where another ended.
 * False: that is the end; or, below the ledger's top, the ledger is damaged. O(log n). */
bool heap_piece_locked(const struct heap *h, size_t offset, struct piece *p);

/* The same from any offset on: the piece that begins there or is the next to begin; or the rest
 * of a free chunk. *offset is then where that is. So who has let go of the lock in between goes
 * on where a piece ended, whatever has changed: what has not is seen, and not again. */
bool heap_piece_from_locked(const struct heap *h, size_t *offset, struct piece *p);

/* Does no piece begin there because all have ended? Else the ledger is damaged. */
bool heap_ends_locked(const struct heap *h, size_t offset);

/* Two libraries may share a heap if this is the same for both. It changes with struct heap and
 * with whatever lies in a region. */
#define HEAP_LAYOUT (((size_t)2 << 16) + sizeof(struct heap))

/* What is in a heap, counted out. O(n log n), and other threads wait; but for those
 * with caches, who go on: then it is no more than near to the truth. */
struct heap_sums {
    size_t region_bytes, ledger_bytes, span_bytes; /* the last: PIECE_METADATA */
    size_t nobjects, object_bytes;                 /* as asked for */
    size_t nfree, free_bytes;
};
struct heap_sums heap_sum(struct heap *h);

void heap_lock(struct heap *h);
void heap_unlock(struct heap *h);

#endif

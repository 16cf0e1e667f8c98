/* SPDX-License-Identifier: MIT
 *
 * header.h - what a heap of one's own has at the low end of its memory.
 *
 *     low                                                                    low + nbytes
 *      | header | lock? | extras? | state quick? |  chunks -->  gap  <-- ledger  |
 *      |<---------- struct mem_heap ------------>|<-------- the region --------->|
 *
 * With guard pages (fence.h is the one in the gap):
 *
 *      |##| header ... |##|  chunks -->  |##|  <-- ledger  |##|
 *       low             a page each                         low + nbytes
 *
 * What is larger than a region can be is cut into parts of 64 GiB (PART_BYTES), each with one:
 *
 *     m                          m + 64 GiB                    m + 128 GiB
 *      | header, region of part 0 | struct heap, region of part 1 | struct heap, region ...
 *
 *   HD1  a heap too small for spans has no address in its header: `struct heap` is made
 *       on the stack for each call, of what is stored as numbers;
 *   HD2  what only some heaps need (a lock; a limit and callbacks; all that spans need)
 *       has no place in the header of others, so that 256 bytes are enough for a heap;
 *   HD3  live_bytes and nlive are what a walk would count;
 *   HD4  each byte but those of the lock is in a sum: of what never changes; of the
 *       numbers, between calls that change them; of the extras. One that is not what was
 *       written is found before anything is done by it. Of the numbers of a heap with a short
 *       way that is not said, nor does that (quick.h) look at the sums;
 *   HD5  with guard pages a heap has no spans, whose states would lie among the objects; and
 *       one part;
 *   HD6  the first nopen parts are open. In the others no byte was ever written, and each is
 *       as if it was open and all of it free;
 *   HD7  an object lies in one part, so where it is says which. All else is one for all parts: the
 *       lock, the limit, the counts.
 */
#ifndef HEADER_H
#define HEADER_H

#include "mem_heap.h"
#include "core/heap.h"
#include "heaps/lookup.h"
#include "heaps/hcache.h"

/* "MHP1"; of one with a short way "qHp!", or "~sHq" if it has a lock; "mhp-": in many bits
 * different. */
enum {
    HEAP_MAGIC = 0x3150484D,
    HEAP_FAST = 0x21704871,
    HEAP_FAST_LOCKED = 0x7148737E,
    HEAP_DETACHED = 0x2D70686D
};
enum { HEAP_ALIGN = 16, WITH_SPANS = (1 << 20) + (1 << 10), WITH_SMALL_SPANS = 1 << 14 };
enum { HAS_HCACHE = 128 };

/* The ledger of a heap without spans, but for what follows from where it lies. */
struct stored {
    uint32_t nwords[2], root[2]; /* of each tree */
    uint32_t nnodes, top, sum, high, nlive;
    uint8_t height[2], unused[2];
};

/* And of a heap with guard pages, right behind it. To read by it what a fence is around is a
 * fault, so it is looked at apart: the seal is not just one more sum. */
struct stored_guard {
    uint32_t high, low;
    uint64_t seal;
};

struct extras {
    size_t limit;
    bool (*on_exhausted)(mem_heap *heap, size_t size, void *context);
    void (*on_refused)(mem_heap *heap, const void *address, enum mem_result why, void *context);
    void *context;
    uint64_t sum;
};

struct mem_heap {
    uint32_t magic, sum;                  /* the sum of what stands between this and live_bytes */
    size_t nbytes;                        /* from here to the end of the region */
    uint16_t lock, extras, state, region; /* where they are, in bytes from here; 0: none */
    uint8_t flags, style, fill_new, fill_freed, version; /* in the flags also HAS_HCACHE */
    bool is_mapped;
    bool has_spans;      /* there is a struct heap in it, though with guard pages no span */
    uint8_t guard_shift; /* a guard page has so many bytes, as a power of two; 0: there are none */

    size_t live_bytes, peak_bytes;
    uint32_t nlive; /* modulo 2^32: nobody is told */
    uint32_t sum_of_numbers;
    uint32_t changes;  /* odd while a call changes a heap without spans */
    uint8_t is_walked; /* no bool: it may be anything */
    uint8_t is_held;   /* the lock is, until a fork is over */
    uint16_t process;  /* that has made the lock: see process_number */
};

enum {
    ALL_PARTS = sizeof(struct mem_heap) + sizeof(pthread_mutex_t) + sizeof(struct extras) +
                sizeof(struct stored),
    LARGEST_SMALL_HEADER = (ALL_PARTS + HEAP_ALIGN - 1) / HEAP_ALIGN * HEAP_ALIGN
};
static_assert(ALL_PARTS - sizeof(struct stored) + sizeof(struct heap) <= 4096, "a page");
static_assert(LARGEST_SMALL_HEADER + CHUNK_COST + 2 * GRANULE_BYTES <= 256,
              "the smallest heap holds an object of 32 bytes, whatever its options");

#define PART_BYTES MEM_PART_BYTES
enum { PART_HEAD = (sizeof(struct heap) + HEAP_ALIGN - 1) / HEAP_ALIGN * HEAP_ALIGN };
static_assert(sizeof(struct heap) % sizeof(void *) == 0, "header_nopen");
static_assert(PART_BYTES == REGION_BYTES_MAX && MEM_HEAP_MAX / PART_BYTES <= UINT32_MAX, "");

/* A new header for a heap of nbytes, guards around it not counted. Its lock and its state are
 * not open yet. */
void header_make(mem_heap *m, size_t nbytes, const struct mem_options *o, bool is_mapped);

RACING static inline void *header_part(const mem_heap *m, size_t offset)
{
    return offset == 0 ? NULL : (unsigned char *)(uintptr_t)m + offset;
}

RACING static inline size_t header_guard_bytes(const mem_heap *m)
{
    return m->guard_shift == 0 ? 0 : (size_t)1 << m->guard_shift;
}

/* Where the region begins, in bytes from the header. */
RACING static inline size_t header_bytes(const mem_heap *m)
{
    return m->guard_shift == 0 ? m->region : 2 * header_guard_bytes(m);
}

/* Of part 0. */
RACING static inline struct region header_region(const mem_heap *m)
{
    size_t at = header_bytes(m), nbytes = m->nbytes < PART_BYTES ? m->nbytes : PART_BYTES;
    return (struct region){header_part(m, at), nbytes - at, m->is_mapped};
}

/* What was mapped for it. */
static inline struct region header_mapping(const mem_heap *m)
{
    size_t guard = header_guard_bytes(m);
    return (struct region){(unsigned char *)(uintptr_t)m - guard, m->nbytes + 2 * guard, false};
}

RACING static inline size_t header_nparts(const mem_heap *m)
{
    return ceil_div(m->nbytes, PART_BYTES);
}

/* How many are open. Where there can be one only, nothing says so [HD2]. */
static inline uint32_t *header_nopen(const mem_heap *m)
{
    return header_part(m, m->state + sizeof(struct heap));
}

/* How much of its memory is resident. */
size_t header_resident_bytes(const mem_heap *m);

/* The part that an address in the heap is in. */
RACING static inline size_t header_part_of(const mem_heap *m, const void *address)
{
    return ((uintptr_t)address - (uintptr_t)m) / PART_BYTES;
}

/* The struct heap of a part, in a heap with spans. Of one that is not open: a free one is made
 * in *view, to be looked at. It stays where it is, once it is open. */
struct heap *header_heap(const mem_heap *m, size_t part, struct heap *view);

/* The same, and the part is open: those before it are. */
struct heap *header_open(mem_heap *m, size_t part);

/* Small objects have a short way: behind the struct heap is what it needs. */
RACING static inline bool header_has_hcache(const mem_heap *m)
{
    return (m->flags & HAS_HCACHE) != 0;
}

static inline struct hcache *header_hcache(const mem_heap *m)
{
    return header_part(m, m->state + sizeof(struct heap));
}

RACING static inline bool header_is_here(const mem_heap *m)
{
    return m->magic == HEAP_MAGIC || m->magic == HEAP_FAST || m->magic == HEAP_FAST_LOCKED;
}

/* Is there a header whose constant part is whole? Reads nothing else. */
bool header_is_whole(const mem_heap *m);

/* Is there one that can be attached to: of this version, whole, of no more than nbytes? */
enum mem_result header_examine(const mem_heap *m, size_t nbytes);

/* In memory of the caller's from now on, with these callbacks if it has room for any. */
void header_make_anew(mem_heap *m, const struct mem_options *o);

/* The struct heap of one that has no spans; and back into the header. */
void header_load(const mem_heap *m, struct heap *h);
void header_store(mem_heap *m, const struct heap *h);

/* The numbers, under the lock: are they what was written last? After they have changed. */
bool header_numbers_are_whole(const mem_heap *m);
void header_sum_numbers(mem_heap *m);

/* The extras; NULL: there are none, or they have been written to (header_extras_are_whole). */
struct extras *header_extras(const mem_heap *m);
bool header_extras_are_whole(const mem_heap *m);

static inline size_t header_limit(const mem_heap *m)
{
    const struct extras *e = header_part(m, m->extras);
    return e == NULL ? 0 : e->limit;
}

/* What an address is, without the lock. The header is whole. */
enum heap_result header_lookup(const mem_heap *m, const void *address, struct lookup_result *p);

#endif

/* SPDX-License-Identifier: MIT
 *
 * header.h - what a heap of the caller's own has at the low end of its memory.
 *
 *     low                                                                     low + nbytes
 *      | header | lock? | extras? | state hcache? |  chunks -->  gap  <-- ledger  |
 *      |<------------ struct mem_heap ----------->|<-------- the region --------->|
 *
 * With guard pages (guard.h has the one that moves, in the gap):
 *
 *      |##| header ... |##|  chunks -->  |##|  <-- ledger  |##|
 *       low             a page each                         low + nbytes
 *
 * What lies behind struct mem_heap are its sections: a lock, extras (the limit and the callbacks),
 * and the state, which is a struct heap or the numbers of one (stored.h). A heap that is larger
 * than a region can be is cut into parts (parts.h).
 *
 *   HD1  a heap too small for spans has no address in its header: `struct heap` is made on the
 *        stack for each call, of what is stored as numbers;
 *   HD2  what only some heaps need has no place in the header of the others, so that 256 bytes are
 *        enough for a heap;
 *   HD3  live_bytes and nlive are what a walk would count;
 *   HD4  every byte is covered by one of three checksums, except the lock and the last three fields
 *        of struct mem_heap: constants (set when the heap is made or attached), numbers (set at the
 *        end of each call that changes them), and extras. A mismatch is found before anything is
 *        done by the value. Exception: a heap with an hcache has no checksum of its numbers, and
 *        the fast path (hcache.h) verifies none. In a detached heap the first checksum is one of
 *        the numbers and of the struct heap, too;
 *   HD5  a heap with guard pages has no span, whose states would lie among the objects, and one
 *        part;
 *   HD6  the first nopen parts are open. In the others no byte was ever written, and each is as if
 *        it was open and all of it free;
 *   HD7  an object lies in one part, so that its address says in which. All else is there once for
 *        all parts: the lock, the limit, the counts.
 */
#ifndef HEADER_H
#define HEADER_H

#include "mem_heap.h"
#include "core/heap.h"
#include "heaps/guard.h"
#include "heaps/hcache.h"

/* The first word: "MHP1"; with an hcache "qHp!", or "~sHq" if the heap has a lock, too; "mhp-" of a
 * heap that is detached. Each differs from the others in many bits. */
enum {
    HEAP_MAGIC = 0x3150484D,
    HEAP_FAST = 0x21704871,
    HEAP_FAST_LOCKED = 0x7148737E,
    HEAP_DETACHED = 0x2D70686D
};
enum { HEAP_ALIGN = 16, WITH_SPANS = (1 << 20) + (1 << 10), WITH_SMALL_SPANS = 1 << 14 };
enum {
    ALL_FLAGS = MEM_SINGLE_THREADED | MEM_FILL_NEW | MEM_FILL_FREED | MEM_GUARD_PAGES | MEM_SLOTS |
                MEM_CHECK_CALLS,
    HAS_HCACHE = 128
};
static_assert((ALL_FLAGS & HAS_HCACHE) == 0, "HAS_HCACHE is none of the caller's flags");

/* The ledger of a heap without spans, except what follows from where it lies. With guard pages a
 * struct stored_guard follows right behind it. */
struct stored {
    uint32_t nwords[2], root[2]; /* of each tree */
    uint32_t nnodes, top, sum, high, live_granules;
    uint8_t height[2], unused[2];
};

struct extras {
    size_t limit;
    bool (*on_exhausted)(mem_heap *heap, size_t size, void *context);
    void (*on_refused)(mem_heap *heap, const void *address, enum mem_result why, void *context);
    void *context;
    uint64_t sum;
};

struct mem_heap {
    /* Fixed while the heap exists, and covered by `sum`, from nbytes on. */
    uint32_t magic, sum;
    size_t nbytes;                        /* from here to the end of the region */
    uint16_t lock, extras, state, region; /* where they are, in bytes from here; 0: none */
    uint8_t flags, style, fill_new, fill_freed, version; /* flags: mem_heap.h's, and HAS_HCACHE */
    bool is_mapped;      /* by mem_heap_create; else the memory is the caller's */
    bool has_spans;      /* there is a struct heap in it */
    uint8_t guard_shift; /* a guard page has 1 << guard_shift bytes; 0: there are none */

    /* Numbers, changed under the lock, and covered by sum_of_numbers. */
    size_t live_bytes, peak_bytes;
    uint32_t nlive; /* modulo 2^32: it is only compared with a recount */
    uint32_t sum_of_numbers;

    /* Covered by no checksum. */
    uint32_t changes;   /* odd while a call changes the heap [SE3]: a sequence count */
    uint32_t process;   /* that has made the lock (session.c) */
    const void *walker; /* the thread that walks the heap, or NULL (os_thread_pointer) */
};

enum {
    ALL_SECTIONS = sizeof(struct mem_heap) + sizeof(struct lock) + sizeof(struct extras) +
                   sizeof(struct stored),
    LARGEST_SMALL_HEADER = (ALL_SECTIONS + HEAP_ALIGN - 1) / HEAP_ALIGN * HEAP_ALIGN
};
static_assert(ALL_SECTIONS - sizeof(struct stored) + sizeof(struct heap) <= 4096, "a page");
static_assert(LARGEST_SMALL_HEADER + CHUNK_COST + 2 * GRANULE_BYTES <= 256,
              "the smallest heap holds an object of 32 bytes, whatever its options");

#define PART_BYTES MEM_PART_BYTES
static_assert(sizeof(struct heap) % sizeof(void *) == 0, "header_nopen is behind it");
static_assert(PART_BYTES == REGION_BYTES_MAX && MEM_HEAP_MAX / PART_BYTES <= UINT32_MAX, "");

/* --- the modes of a heap ---------------------------------------------------------
 * Each is chosen when the heap is made, and stays. m->has_spans is one more: the heap is large
 * enough for spans, and its state is a struct heap. An hcache needs spans; several parts need
 * spans, and have no hcache; with guard pages there is neither, nor any span. */

/* Threads share the heap, and each call takes its lock. */
RACING static inline bool header_has_lock(const mem_heap *m)
{
    return m->lock != 0;
}

/* Small objects have a fast path. */
RACING static inline bool header_has_hcache(const mem_heap *m)
{
    return (m->flags & HAS_HCACHE) != 0;
}

RACING static inline bool header_has_guards(const mem_heap *m)
{
    return m->guard_shift != 0;
}

/* The heap has more than one part. */
RACING static inline bool header_has_parts(const mem_heap *m)
{
    return m->nbytes > PART_BYTES;
}

/* Above this a mapped heap is opened in steps, as it needs memory. A smaller one is not worth the
 * system calls, and the pieces into which they cut its mapping. With guard pages, all is open. */
enum { OPEN_AT_ONCE = 8 << 20 };

RACING static inline bool header_opens_in_steps(const mem_heap *m)
{
    return m->is_mapped && m->nbytes > OPEN_AT_ONCE && !header_has_guards(m);
}

/* --- where things are ------------------------------------------------------------- */

/* Returns the section that begins `offset` bytes behind the header's begin; NULL if that is 0. */
RACING static inline void *header_at(const mem_heap *m, size_t offset)
{
    return offset == 0 ? NULL : (unsigned char *)(uintptr_t)m + offset;
}

RACING static inline size_t header_guard_bytes(const mem_heap *m)
{
    return header_has_guards(m) ? (size_t)1 << m->guard_shift : 0;
}

/* Returns where the region begins, in bytes from the header. */
RACING static inline size_t header_bytes(const mem_heap *m)
{
    return header_has_guards(m) ? 2 * header_guard_bytes(m) : m->region;
}

/* The region of part 0, whether all of it is open or not. */
RACING static inline struct region header_region(const mem_heap *m)
{
    size_t at = header_bytes(m), nbytes = header_has_parts(m) ? PART_BYTES : m->nbytes;
    return (struct region){header_at(m, at), nbytes - at, m->is_mapped, 0};
}

/* Returns where part 0 ends. */
static inline const unsigned char *header_end_of_part(const mem_heap *m)
{
    return (const unsigned char *)m + (header_has_parts(m) ? PART_BYTES : m->nbytes);
}

/* What was mapped for the heap: its memory, and the guard pages around that. */
static inline struct region header_mapping(const mem_heap *m)
{
    size_t guard = header_guard_bytes(m);
    return (struct region){(unsigned char *)(uintptr_t)m - guard, m->nbytes + 2 * guard, false, 0};
}

static inline struct lock *header_lock(const mem_heap *m)
{
    assert(header_has_lock(m));
    return header_at(m, m->lock);
}

/* Returns the hcache, right behind the struct heap of a heap that has one. */
static inline struct hcache *header_hcache(const mem_heap *m)
{
    assert(header_has_hcache(m));
    return header_at(m, m->state + sizeof(struct heap));
}

/* Returns where the number of open parts is stored: right behind the struct heap of a heap that has
 * several. */
static inline uint64_t *header_open_parts(const mem_heap *m)
{
    assert(header_has_parts(m));
    return header_at(m, m->state + sizeof(struct heap));
}

/* Returns how many parts are open of a heap that has several; 0, if that was overwritten. A part
 * that is seen to be open was made before. The caller needs no lock. */
RACING static inline size_t header_nopen(const mem_heap *m)
{
    uint64_t word = __atomic_load_n(header_open_parts(m), __ATOMIC_ACQUIRE);
    uint32_t nopen = (uint32_t)word;
    return (uint32_t)(word >> 32) == ~nopen ? nopen : 0;
}

/* Stores how many parts are open, with the complement of that number: a lookup, which verifies no
 * sum of it, would read memory that is not open if it believed a wrong one. */
static inline void header_set_nopen(mem_heap *m, size_t nopen)
{
    uint64_t word = (uint64_t) ~(uint32_t)nopen << 32 | (uint32_t)nopen;
    __atomic_store_n(header_open_parts(m), word, __ATOMIC_RELEASE);
}

/* --- making a header --------------------------------------------------------------- */

/* Makes a header for a heap of nbytes, guards around it not counted. The lock and the state are
 * left for the caller to open. */
void header_make(mem_heap *m, size_t nbytes, const struct mem_options *o, bool is_mapped);

/* Makes the header of an attached heap whole: its memory is the caller's from now on, and has the
 * callbacks of these options if there is a section for any. */
void header_make_anew(mem_heap *m, const struct mem_options *o);

/* Makes the header that of a detached heap, with a checksum of it and of the heap's numbers. */
void header_detach(mem_heap *m);

/* --- whether it is whole ------------------------------------------------------------ */

/* Returns whether the first word is that of a heap in use. Reads nothing else. */
RACING static inline bool header_is_here(const mem_heap *m)
{
    return m->magic == HEAP_MAGIC || m->magic == HEAP_FAST || m->magic == HEAP_FAST_LOCKED;
}

/* Returns whether there is a header whose constants are as they were written. Reads no section. */
bool header_is_whole(const mem_heap *m);

/* Returns whether a header that is whole is one that header_make makes: its size, flags, modes and
 * sections fit each other. All of the header and the extras can be read. */
bool header_is_possible(const mem_heap *m);

/* MEM_OK if there is a header of this version, whole and possible, of a heap that fits into nbytes
 * and has no guard pages: one that can be attached to. Else what is wrong. */
enum mem_result header_examine(const mem_heap *m, size_t nbytes);

/* Returns whether the numbers are as they were written last. The caller holds the lock. */
bool header_numbers_are_whole(const mem_heap *m);

/* Renews the checksum of the numbers after a change. The caller holds the lock. */
void header_sum_numbers(mem_heap *m);

/* Returns whether the extras are as they were written; true if there are none. */
bool header_extras_are_whole(const mem_heap *m);

/* --- what it says -------------------------------------------------------------------- */

/* The extras, or NULL if there are none or they have been written to. */
const struct extras *header_extras(const mem_heap *m);

/* Returns the limit of the heap in bytes; 0: none. The extras are whole (session_open). */
static inline size_t header_limit(const mem_heap *m)
{
    const struct extras *e = header_at(m, m->extras);
    return e == NULL ? 0 : e->limit;
}

/* Returns the style that the heap was made with. The heap need not be one: MEM_ANY_FIT then. */
static inline enum mem_style header_style(const mem_heap *m)
{
    bool is_heap = m != NULL && (uintptr_t)m % HEAP_ALIGN == 0 && header_is_here(m);
    return is_heap ? (enum mem_style)m->style : MEM_ANY_FIT;
}

/* Counts bytes that came to live objects, and bytes that went. */
static inline void header_count_bytes(mem_heap *m, size_t more, size_t less)
{
    m->live_bytes = m->live_bytes + more - less;
    if (m->live_bytes > m->peak_bytes)
        m->peak_bytes = m->live_bytes;
}

#endif

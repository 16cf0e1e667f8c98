/* SPDX-License-Identifier: MIT
 *
 * mem_heap.h - heaps of one's own: as many as there is memory for, each in a mapping
 * or in a buffer, each able to answer for every address.
 *
 *     static _Alignas(16) char buffer[4096];
 *     mem_heap *heap = mem_heap_in(buffer, sizeof buffer, NULL);
 *     char *p = mem_alloc(heap, 100);
 *     mem_free(heap, p + 1);       MEM_INSIDE: refused, nothing happens
 *     mem_free_any(heap, p + 99);  MEM_OK
 *     mem_heap_destroy(heap);
 *
 * Sizes and alignments are in bytes. A heap has its header at the low end of its memory
 * and its records at the high end, and nothing outside.
 *
 * Threads: every call may be made from any thread, on one heap as on different ones, but
 * for mem_heap_create, mem_heap_in and mem_heap_destroy of the same memory; and unless
 * the heap is MEM_SINGLE_THREADED: then by one thread at a time. A fork waits for calls that
 * are under way, so that the child has each heap as it was between two; but not for longer
 * than a third of a second, and a millisecond for each heap (a visitor of mem_walk that takes
 * its time): then the child may find MEM_DAMAGED. Memory that both share is for one of them.
 *
 * Every call but mem_strerror can fail with
 *   MEM_NO_HEAP  NULL, a misaligned address, or memory in which there is no heap (of a
 *                heap that was destroyed: only where its memory was the caller's, until
 *                that is written to; its mapping is gone, and to look there is a fault);
 *   MEM_BUSY     made by a visitor of mem_walk, on the heap that is being walked; but for
 *                mem_find and mem_find_in, which such a visitor may call;
 *   MEM_DAMAGED  something has written into the heap's own data. What is not seen at once
 *                mem_check finds.
 * The others are named where they can come. A call that fails has changed nothing. Results
 * that are pointers are NULL then, and mem_last_error says why.
 */
#ifndef MEM_HEAP_H
#define MEM_HEAP_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mem_heap mem_heap;

enum mem_result {
    MEM_OK = 0,
    MEM_NO_HEAP,       /* there is no heap at that address */
    MEM_BUSY,          /* the heap is being walked by the caller itself; or was changing; or is
                          attached already */
    MEM_BAD_SIZE,      /* of a heap: 0, or of a buffer: less than MEM_HEAP_MIN */
    MEM_BAD_BUFFER,    /* NULL, or no multiple of 16 */
    MEM_BAD_OPTIONS,   /* an option that does not exist, or not there */
    MEM_BAD_ALIGNMENT, /* no power of two */
    MEM_BAD_STYLE,     /* no placement style, or not with this alignment */
    MEM_TOO_LARGE,     /* larger than the heap or its parts are; of a heap: more than
                          MEM_HEAP_MAX, in a buffer than MEM_PART_BYTES */
    MEM_NO_MEMORY,     /* the system refuses the mapping */
    MEM_NO_SPACE,      /* no free chunk can hold the object */
    MEM_OVER_LIMIT,    /* it would be more than the heap's limit */
    MEM_NOT_OURS,      /* the address is outside the heap */
    MEM_NO_OBJECT,     /* in the heap, but in its own data, or behind an object's last byte */
    MEM_FREE,          /* in free memory: freed already, or never given out */
    MEM_INSIDE,        /* in a live object, but not at its start */
    MEM_BAD_VERSION,   /* of the library that made the heap */
    MEM_DAMAGED,       /* somebody has written into the heap's own data */
    MEM_FOREIGN        /* the heap is malloc's or Mem_Init's, and this call is not for it */
};

/* A short English sentence, in lower case and without a full stop. Never NULL. */
const char *mem_strerror(enum mem_result result);

/* Why the last call of this thread that failed did so; MEM_OK before the first. */
enum mem_result mem_last_error(void);

/* Where an object is placed. Ties go to the lowest address, and an object is cut from the
 * low end of its chunk. */
enum mem_style {
    MEM_ANY_FIT = 0, /* the library chooses: small objects from slots in a heap of a little
                        more than 1 MiB (span.h) or with MEM_SLOTS, all others by best fit */
    MEM_BEST_FIT,    /* in the smallest free chunk that is large enough */
    MEM_WORST_FIT,   /* in the largest */
    MEM_FIRST_FIT    /* in the one at the lowest address that is large enough */
};

enum mem_flags {
    MEM_SINGLE_THREADED = 1, /* no lock at all */
    MEM_FILL_NEW = 2,        /* a new object is filled with `fill_new`, */
    MEM_FILL_FREED = 4,      /* and a freed one with `fill_freed`; both when resized, too */
    MEM_GUARD_PAGES = 8,     /* of mem_heap_create only, which see */
    MEM_SLOTS = 16,          /* slots for small objects in a heap of 16 KiB and more, too */
    MEM_CHECK_CALLS = 32     /* all is recounted, as by mem_check, before each call that takes,
                                frees or resizes an object: it fails with MEM_DAMAGED, and nothing
                                is done, once something is wrong. O(n log n) */
};

/* MEM_SLOTS: the heap is cut into some 24 to 48 units, each for objects of about one size, of which
 * at least four fit. To take or free one is then a matter of some dozens of instructions, while an
 * object in a chunk of its own needs a thousand and more; but units that are partly used, and the
 * records of slots, cost a good part of a small heap. What finds no slot gets a chunk. The heap has
 * no guard against damage as small ones without slots have (mem_check). Heaps with slots
 * and with neither a style, a limit, patterns nor MEM_CHECK_CALLS are the fastest, single-threaded
 * ones most of all. */

/* All zero: what NULL means. It is copied; the caller's may go. */
struct mem_options {
    unsigned flags;       /* enum mem_flags, added */
    enum mem_style style; /* of mem_alloc, mem_zalloc and mem_resize */
    unsigned char fill_new, fill_freed;
    size_t limit; /* live bytes, as asked for, are never more; 0: no limit */

    /* Called before a call fails with MEM_NO_SPACE or MEM_OVER_LIMIT for `size` bytes. It
     * may use the heap, and returns whether to try again, as often as it likes. */
    bool (*on_exhausted)(mem_heap *heap, size_t size, void *context);

    /* Called after mem_free, mem_free_any or mem_resize was refused `address`: it is not
     * the start of a live object, or not in one. It may use the heap. */
    void (*on_refused)(mem_heap *heap, const void *address, enum mem_result why, void *context);

    void *context; /* what both are given; the caller's */
};

#define MEM_HEAP_MIN   ((size_t)256)     /* bytes of a buffer */
#define MEM_HEAP_MAX   ((size_t)1 << 47) /* of a mapping: 128 TiB; most systems have less to give */
#define MEM_PART_BYTES ((size_t)1 << 36) /* of a buffer at most; and see mem_heap_create: 64 GiB */

/* A heap in one mapping of its own, of nbytes rounded up to whole pages; memory comes as
 * it is touched, and of more than 1 MiB pages that stay free go back. The caller destroys it.
 *   One of more than 64 GiB is cut into parts of MEM_PART_BYTES, the last as long as is left.
 * An object lies in one part, and so has less than 64 GiB. It is placed in the first part that has
 * room for it, there by its style; a part that was never needed costs no page.
 *
 * MEM_GUARD_PAGES: a page that nobody may touch lies below and above the header, above the
 * objects, and above the records; so the mapping is six pages larger. A write that runs from
 * an object across either end of the objects, however long, or into the heap from outside, is
 * a fault (SIGSEGV) before it reaches what the heap knows. Not promised: that one which
 * stays among the objects is seen, nor one that leaps over a page. Such a heap has no slots
 * (MEM_ANY_FIT is best fit), and no more than MEM_PART_BYTES in all. The page above the objects
 * moves as their number grows, in system calls; if the system refuses one, the call fails with
 * MEM_NO_SPACE.
 *
 * NULL: MEM_BAD_SIZE (0), MEM_TOO_LARGE, MEM_BAD_OPTIONS, MEM_NO_MEMORY. */
mem_heap *mem_heap_create(size_t nbytes, const struct mem_options *options);

/* A heap in the caller's memory, which stays the caller's and must live until the heap is
 * destroyed; nbytes is rounded down to a multiple of 16. No call on it makes a system call,
 * but to wait for a lock; so there are no guard pages (MEM_BAD_OPTIONS). Only the first heap of a
 * process, its first mem_find or mem_find_in, and each heap that the table of all heaps has to
 * grow for (the 25th) make some. What the memory holds does not matter.
 * NULL: MEM_BAD_BUFFER, MEM_BAD_SIZE, MEM_TOO_LARGE, MEM_BAD_OPTIONS; MEM_NO_MEMORY, for that
 * table. */
mem_heap *mem_heap_in(void *buffer, size_t nbytes, const struct mem_options *options);

/* The heap that is in the buffer already: which was detached, or of which this is a copy,
 * made while no call was under way; here or in another process, at this or another address.
 * It checks itself first, as by mem_check. nbytes may be more than the heap has.
 * What cannot be promised: addresses within objects are the program's to correct, as offsets
 * from the heap; objects with an alignment of more than 16 have it still if the heap has
 * moved by a multiple of that. A heap with small objects in slots has to lie as before within
 * 64 KiB (MEM_BAD_BUFFER). All options are as they were, but for the callbacks and their
 * context: these are as in `options`, which may be NULL. (If there are any, there must have
 * been some, or a limit; and no guard pages: MEM_BAD_OPTIONS.) The lock is new, and good
 * for the threads of one process.
 * NULL: MEM_BAD_BUFFER, MEM_BAD_SIZE, MEM_NO_HEAP, MEM_BAD_VERSION, MEM_DAMAGED, also of a copy
 * made while a call was under way; MEM_BUSY (it is attached already), MEM_TOO_LARGE (it has
 * several parts), MEM_NO_MEMORY. */
mem_heap *mem_heap_attach(void *buffer, size_t nbytes, const struct mem_options *options);

/* The heap may be attached to again, and not be used before; the memory of its buffer may go
 * or move. MEM_BAD_BUFFER: it is a mapping of its own. */
enum mem_result mem_heap_detach(mem_heap *heap);

/* The heap, its objects and its mapping are gone; a buffer is the caller's again. */
enum mem_result mem_heap_destroy(mem_heap *heap);

/* A new object of exactly `size` bytes (0 too: it has a start of its own), 16-byte aligned,
 * its content indeterminate but for MEM_FILL_NEW. The caller owns it until it is freed.
 * NULL: MEM_TOO_LARGE, MEM_NO_SPACE, MEM_OVER_LIMIT. O(log n) in the number of chunks. */
void *mem_alloc(mem_heap *heap, size_t size);

/* The same, all bytes 0. */
void *mem_zalloc(mem_heap *heap, size_t size);

/* The same at a multiple of `align`, a power of two: 1 too. NULL also: MEM_BAD_ALIGNMENT. */
void *mem_aligned(mem_heap *heap, size_t size, size_t align);

/* The same by a style that need not be the heap's. An alignment of more than 16 goes with
 * MEM_ANY_FIT and MEM_BEST_FIT, which then is not always the tightest. NULL also:
 * MEM_BAD_STYLE. */
void *mem_alloc_fit(mem_heap *heap, size_t size, size_t align, enum mem_style style);

/* Gives the object that begins at `object` another size, and returns where it is then: if
 * it had to move, 16-byte aligned, with what it held as far as that fits; the old one is
 * freed. An object of NULL: mem_alloc. NULL: as mem_alloc, and MEM_NOT_OURS, MEM_NO_OBJECT,
 * MEM_FREE, MEM_INSIDE; the object is as it was. */
void *mem_resize(mem_heap *heap, void *object, size_t size);

/* Frees the object that begins at `object`; NULL: MEM_OK, nothing happens. MEM_NOT_OURS,
 * MEM_NO_OBJECT, MEM_FREE, MEM_INSIDE. Never reads or writes through it. O(log n). */
enum mem_result mem_free(mem_heap *heap, void *object);

/* The same for any address inside the object, from its first byte to its last. */
enum mem_result mem_free_any(mem_heap *heap, void *address);

/* A live object or a free chunk. */
struct mem_piece {
    void *start;
    size_t size; /* of an object: as asked for; of a free chunk: all of it */
    bool live;
    mem_heap *heap; /* that it is in; of mem_find, NULL: that of Mem_Init, or malloc's */
};

/* The piece that `address` lies in, whatever heap that is, and whatever the address is. Of
 * heaps in each other's objects it is the innermost. Never waits for a lock, and may be
 * called by a signal handler, also one that has interrupted a call on the heap; other
 * threads may use and destroy heaps meanwhile. Leaves errno and mem_last_error alone.
 * MEM_NOT_OURS: in no heap; MEM_NO_OBJECT; *found is not written. MEM_BUSY: the heap was
 * being changed all the time, for some milliseconds; or by the call that was interrupted.
 * That is never said of a small object in a slot, unless the call is one that gets or gives
 * back memory for slots. MEM_DAMAGED: what is there makes no sense.
 * O(log h) in the number of heaps, and for other than small objects O(log n). */
enum mem_result mem_find(const void *address, struct mem_piece *found);

/* The same in one heap: MEM_NOT_OURS of all other addresses. It may wait for the lock, if
 * the heap changes all the time, and is not for signal handlers. */
enum mem_result mem_find_in(mem_heap *heap, const void *address, struct mem_piece *found);

/* Visits every live object and every free chunk in address order, until there are no more
 * or `visit` returns false. It must not call for this heap (MEM_BUSY), nor wait for a
 * thread that does; *piece is good until it returns. O(n log n), and other threads wait. */
typedef bool (*mem_visitor)(const struct mem_piece *piece, void *context);
enum mem_result mem_walk(mem_heap *heap, mem_visitor visit, void *context);

/* Always: region_bytes = live_bytes + slack_bytes + free_bytes + metadata_bytes. */
struct mem_statistics {
    size_t region_bytes;   /* all of the heap's memory, header and records included; not the first
                              and the last guard page */
    size_t limit;          /* as in the options */
    size_t live_objects;   /* now */
    size_t live_bytes;     /* of these, as asked for */
    size_t peak_bytes;     /* the most that live_bytes ever was */
    size_t slack_bytes;    /* at the ends of live objects: rounding */
    size_t free_chunks;    /* runs of free memory, and free slots */
    size_t free_bytes;     /* in these */
    size_t largest_free;   /* the longest run: mem_alloc_fit can have so many bytes at once, by
                              any style, and by an exact one no more; with MEM_ANY_FIT there may
                              be a longer free slot. The limit aside */
    size_t metadata_bytes; /* all else: header, records, what is kept for them, guard pages */
    size_t resident_bytes; /* of region_bytes: the pages that are in memory now, whoever else has
                              them too; of a heap in a buffer all, since nobody is asked */
};

/* Counts it all. O(n log n), and other threads wait. What is resident the system is asked for,
 * page by page: some milliseconds for 64 GiB. */
enum mem_result mem_stats(mem_heap *heap, struct mem_statistics *stats);

/* Recounts all that the heap knows of itself: MEM_DAMAGED if something contradicts
 * itself. `*wrong`, if there is one, is told what, in a few words of English; NULL: nothing.
 * O(n log n), and other threads wait.
 * In a heap without slots (with guard pages: in one of up to 1 MiB, without MEM_SLOTS) no call
 * crashes, goes on for ever, or touches what is outside the heap, whatever has been written to its header and its records, but for the lock, and
 * for a whole header of another heap; and what is not as it was there is found, unless it
 * means nothing. (The header by a sum of 32 bits: one in four thousand million is missed.) */
enum mem_result mem_check(mem_heap *heap, const char **wrong);

/* Two heaps that are not one's own, to be looked at: the one that malloc of this process has,
 * if libmem-malloc.so is that, and the one of Mem_Init. They are for mem_find_in, mem_walk,
 * mem_stats and mem_check, from any thread but not in a signal handler; all other calls fail
 * with MEM_FOREIGN or MEM_NO_HEAP, and never harm. They are there until the process ends, in a
 * child of fork too.
 *   The first has to find this library when the process starts: as a shared library, or in a
 * program that is linked with libmem.a and -Wl,--export-dynamic-symbol=mem_heap_also.
 *   Visitors of mem_walk may call anything, malloc and free and mem_walk again: other threads
 * do not wait, and go on taking and freeing. So each object that lives, and is not resized,
 * from begin to end of the walk is visited exactly once, with its size; all others, and free
 * memory, once or not at all, as they were at some moment of it. All in address order, and
 * none overlaps the one before. What a thread keeps to be handed out is free memory.
 *   mem_stats and mem_check let other threads wait, but for small objects; peak_bytes is 0
 * unless `mem run --report` counts.
 * NULL: MEM_NO_HEAP, MEM_BAD_VERSION (of libmem-malloc.so). */
mem_heap *mem_heap_of_process(void);
mem_heap *mem_heap_of_classic(void);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif

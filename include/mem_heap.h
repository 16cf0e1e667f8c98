/* SPDX-License-Identifier: MIT
 *
 * mem_heap.h - heaps of a program's own. A program can have as many as there is memory for, each in
 * a mapping of its own or in a buffer of the caller's, and the library can say of every address
 * which object of which heap it lies in.
 *
 *     mem_heap *heap = mem_heap_create(1 << 20, NULL);
 *     struct mem_piece piece;
 *     char *p = mem_alloc(heap, 100);
 *     mem_find(p + 42, &piece);        // MEM_OK: piece.start == p, piece.size == 100, piece.live
 *     p = mem_resize(heap, p, 200);    // the same 100 bytes, then 100 new ones
 *     mem_free(heap, p + 1);           // MEM_INSIDE: refused, and nothing has changed
 *     mem_free_any(heap, p + 199);     // MEM_OK: any address inside the object will do
 *     mem_free(heap, p);               // MEM_FREE: the object is freed already
 *     mem_heap_destroy(heap);
 *
 * In a buffer, with no other memory:
 *
 *     static _Alignas(16) char buffer[4096];
 *     mem_heap *heap = mem_heap_in(buffer, sizeof buffer, NULL);
 *
 * The sections of this file: results, options, making and destroying a heap, allocating, resizing
 * and freeing, finding, walking and counting, checking, detaching and attaching, the heaps of
 * malloc and Mem_Init. The numbers [H1] to [H20] name the promises, so that a test can say which
 * promise it checks. Sizes and alignments are in bytes, and n in O(log n) is the number of chunks:
 * the live objects and the runs of free memory between them. MiB and GiB are powers of two.
 *
 * Errors [H19]. A call that fails has changed nothing, except where its comment says so. A call
 * that returns a pointer then returns NULL, and mem_last_error() says why. Every call that takes
 * a `heap` can fail with these four, which the comments below do not repeat:
 *
 *   MEM_NO_HEAP  if `heap` is NULL, misaligned, or does not point to a heap. A heap that was
 *                destroyed is detected only if it lay in a buffer, and only until the buffer is
 *                written to. To pass a heap that mem_heap_create made, after it was destroyed, is
 *                undefined behaviour: its memory is unmapped, and to read there is a fault.
 *   MEM_BUSY     if a visitor of mem_walk makes the call on the heap that is being walked. The
 *                visitor may call mem_find and mem_find_in.
 *   MEM_DAMAGED  if something has written into the heap's own data. Not all damage is seen at once;
 *                mem_check finds the rest [H10].
 *   MEM_FOREIGN  if `heap` is malloc's or Mem_Init's, and the call is not for those [H18].
 *
 * AddressSanitizer. If the library is compiled with -fsanitize=address, as the single C file of a
 * program may be, a touch of a freed object is reported, and of the bytes behind an object up to a
 * multiple of 16. A heap may then be copied, and its buffer used for something else, only after it
 * was detached or destroyed.
 *
 * Memcheck, valgrind's default tool, needs no such library: it reports all that, and objects to
 * which nothing points any longer, each with the calls that took and freed the object. No object
 * has a fast path then, and where the library places objects (MEM_ANY_FIT) they lie 32 bytes apart
 * until a quarter of the heap is used.
 *
 * Threads [H11]. Any thread may make any call, on one heap and on several heaps at the same time.
 * There are two exceptions. A heap that was made with MEM_SINGLE_THREADED may be used by one
 * thread at a time; only mem_find may run beside that thread. And a call that makes, attaches,
 * detaches or destroys a heap must not run at the same time as another call on the same memory,
 * except mem_find.
 *
 * Fork [H12]. A fork waits until no call is under way on any heap that has a lock, so that the
 * child finds each heap as it was between two calls. It waits at most some ten seconds, or a third
 * of a second for a mem_walk, whose visitor may be waiting for the thread that forks, and then a
 * millisecond for each heap. If a call takes longer, the fork goes on, and in the child the calls
 * on that heap may fail with MEM_DAMAGED. A heap without a lock (MEM_SINGLE_THREADED) is not waited
 * for: if a thread forks while another thread is in a call on it, the child must not use it.
 *
 * If processes share the memory of a heap, as a parent and its children may, only one of them may
 * make calls on it from the fork on. The others may fork meanwhile, except that a process which has
 * used the heap must not fork during the first call of a child on it. There is no exception for a
 * heap that is detached before the fork, and attached by the process which is to use it [H15]. A
 * child need not have the memory at all (MADV_DONTFORK) if it makes no call on the heap.
 */
#ifndef MEM_HEAP_H
#define MEM_HEAP_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A heap. Its address is the low end of its memory. */
typedef struct mem_heap mem_heap;

/* --- results [H19] ---------------------------------------------------------------- */

/* What a call returns, or what mem_last_error() returns after a call that returned NULL. */
enum mem_result {
    MEM_OK = 0,
    MEM_NO_HEAP,       /* There is no heap at that address. */
    MEM_BUSY,          /* A visitor calls on the heap that it walks; or the heap kept changing while
                          mem_find looked; or the heap is attached already. */
    MEM_BAD_SIZE,      /* The heap would have 0 bytes, or less than MEM_HEAP_MIN in a buffer; or the
                          heap to be attached is larger than the buffer. */
    MEM_BAD_BUFFER,    /* The buffer is NULL, is not 16-byte aligned, or is not where it can be
                          attached; or the heap to be detached is in no buffer. */
    MEM_BAD_OPTIONS,   /* An option does not exist, or is not possible for this heap. */
    MEM_BAD_ALIGNMENT, /* The alignment is not a power of two. */
    MEM_BAD_STYLE,     /* The style does not exist, or is not possible with this alignment. */
    MEM_TOO_LARGE,     /* The object is larger than the heap or than a part of it; or the heap is
                          larger than MEM_HEAP_MAX, or than MEM_PART_BYTES where it has one part. */
    MEM_NO_MEMORY,     /* The system refuses to map memory. */
    MEM_NO_SPACE,      /* No free chunk can hold the object; or the system opens no memory. */
    MEM_OVER_LIMIT,    /* The live objects would have more bytes than the heap's limit. */
    MEM_NOT_OURS,      /* The address is outside the heap; for mem_find, outside all heaps. */
    MEM_NO_OBJECT,     /* The address is in the heap, but in its own data, or behind the last byte
                          of an object. */
    MEM_FREE,          /* The address is in free memory: freed already, or never handed out. */
    MEM_INSIDE,        /* The address is in a live object, but is not its start. */
    MEM_BAD_VERSION,   /* Another version of the library made the heap. */
    MEM_DAMAGED,       /* Something has written into the heap's own data. */
    MEM_FOREIGN        /* The heap is malloc's or Mem_Init's, and this call is not for it. */
};

/* Returns a short English sentence for a result, in lower case and without a full stop. Never
 * returns NULL, whatever `result` is. The text is static. */
const char *mem_strerror(enum mem_result result);

/* Returns why the last failed call of this thread failed, or MEM_OK if none has failed so far. A
 * call that succeeds leaves it alone, and so does mem_find, even if it fails. */
enum mem_result mem_last_error(void);

/* --- options [H2] ----------------------------------------------------------------- */

/* Where an object is placed [H4]. The last three styles are exact: they choose from all free
 * chunks of the heap at the time of the call, by size and address alone, so that placement is
 * deterministic. In a heap of several parts they choose from the free chunks of the first part that
 * has room. If two chunks suit equally well, the one at the lower address is chosen, and an object
 * is cut from the low end of its chunk. */
enum mem_style {
    /* The library chooses. A small object comes from a slot if the heap has slots (MEM_SLOTS),
     * and every other object is placed by best fit. */
    MEM_ANY_FIT = 0,

    MEM_BEST_FIT,  /* In the smallest free chunk that is large enough. */
    MEM_WORST_FIT, /* In the largest free chunk. */
    MEM_FIRST_FIT  /* In the free chunk at the lowest address that is large enough. */
};

/* The flags of a heap. Combine them with |. */
enum mem_flags {
    /* The heap has no lock, and so is for one thread at a time [H11]. */
    MEM_SINGLE_THREADED = 1,

    /* A new object is filled with `fill_new`, and so is what mem_resize adds to an object.
     * Objects of mem_zalloc are filled with 0 all the same. */
    MEM_FILL_NEW = 2,

    /* A freed object is filled with `fill_freed`, and so is what mem_resize cuts off, or
     * leaves behind when an object moves. Pages that go back to the system then read as
     * zero. */
    MEM_FILL_FREED = 4,

    /* A write that runs out of the objects is a fault [H13]. Only for mem_heap_create. */
    MEM_GUARD_PAGES = 8,

    /* A heap of 16 KiB or more has slots for small objects. Without this flag only a heap of at
     * least 1 MiB has them, and its header of about 1 KiB counts in addition. See below [H20]. */
    MEM_SLOTS = 16,

    /* Before each call that allocates, frees or resizes an object the whole heap is recounted, as
     * by mem_check. Once something is wrong, each such call fails with MEM_DAMAGED and does
     * nothing. Each of these calls then takes O(n log n) [H20]. */
    MEM_CHECK_CALLS = 32
};

/* Slots [H20]. A slot is a place for one small object among others of its size. With MEM_SLOTS a
 * heap of less than 1 MiB is cut into 24 to 48 slices. A slice that is used for slots holds
 * objects of about one size, at least four of them. To allocate or free an object in a slot takes
 * some dozens of instructions, while an object in a chunk of its own takes a thousand and more.
 * The price is memory: slices that are partly used, and the records of slots, cost a good part of
 * a small heap. An object that finds no slot gets a chunk.
 *   Calls on a heap with slots find less damage by themselves [H10].
 *   The fastest heaps are those that have slots, at most MEM_PART_BYTES, and none of these: a
 * style, a limit, a fill pattern, MEM_CHECK_CALLS. Among them, single-threaded heaps are the
 * fastest. */

/* How a heap is to behave [H2]. All zero is the default, and NULL in place of a pointer to options
 * means all zero. The options are copied, so the caller's struct need not live on. */
struct mem_options {
    unsigned flags;       /* Of enum mem_flags, combined with |. */
    enum mem_style style; /* The style of mem_alloc, mem_zalloc, mem_aligned and mem_resize. */
    unsigned char fill_new, fill_freed; /* The bytes for MEM_FILL_NEW and MEM_FILL_FREED. */

    /* The live objects together never have more bytes than this, as they were asked for [H16]. 0
     * means that there is no limit. */
    size_t limit;

    /* Called, if not NULL, before a call fails with MEM_NO_SPACE or MEM_OVER_LIMIT [H16]. `size` is
     * the size that was asked for. The callback may use the heap, for example to free objects.
     * Returns true to have the call tried again, as often as it likes, and false to let it fail.
     * It runs in the thread of the call, which does not hold the heap's lock. */
    bool (*on_exhausted)(mem_heap *heap, size_t size, void *context);

    /* Called, if not NULL, after mem_free, mem_free_any or mem_resize has refused `address`,
     * because it is not the start of a live object, or for mem_free_any not in one [H16]. `why`
     * is the reason, which the call then returns or leaves in mem_last_error(). The callback may
     * use the heap. It runs in the thread of the call, which does not hold the heap's lock. */
    void (*on_refused)(mem_heap *heap, const void *address, enum mem_result why, void *context);

    void *context; /* Passed to both callbacks. It stays the caller's. */
};

/* --- making and destroying a heap [H1] -------------------------------------------- */

/* Bounds for the bytes of a heap. A buffer has at least MEM_HEAP_MIN bytes and at most
 * MEM_PART_BYTES, 64 GiB. mem_heap_create makes heaps of up to MEM_HEAP_MAX bytes, 128 TiB, though
 * most systems have less to give; a heap of more than MEM_PART_BYTES has several parts. */
#define MEM_HEAP_MIN   ((size_t)256)
#define MEM_HEAP_MAX   ((size_t)1 << 47)
#define MEM_PART_BYTES ((size_t)1 << 36)

/* Makes a heap in one new mapping of nbytes, rounded up to whole pages [H1]. The header lies at the
 * low end of the mapping and the records of the objects at the high end, and nothing lies
 * elsewhere, except one entry in a table of all heaps. The system gives memory as it is touched. In
 * a heap of more than 1 MiB, pages that stay free go back to the system. The caller destroys the
 * heap with mem_heap_destroy.
 *
 * Steps [H1]. A heap of more than 8 MiB is only reserved at first, and opened in steps as it needs
 * memory, by system calls. What is not open yet can be read, as zeros, except in a heap with parts.
 * Limits on data (RLIMIT_DATA), strict overcommit, core files and mlockall see what is open. If the
 * system refuses to open what a call needs, the call fails with MEM_NO_SPACE. A heap with guard
 * pages is open from the beginning.
 *
 * Parts [H14]. A heap of more than MEM_PART_BYTES is cut into parts of that size, and the last part
 * takes what is left. An object lies in one part, and so has less than 64 GiB. It is placed in the
 * first part that has room for it, and there by its style. A part that was never needed costs no
 * page, and a request that no part can hold needs none.
 *
 * Guard pages [H13]. With MEM_GUARD_PAGES, pages that no code may touch lie below and above the
 * header, above the objects, and above the records; so the mapping is six pages larger. A write
 * that runs from an object across either end of the objects, however long it is, or into the heap
 * from outside, is a fault (SIGSEGV) before it reaches what the heap knows. A write that stays
 * among the objects, or that leaps over a page, may go unseen. Such a heap has no slots
 * (MEM_ANY_FIT means best fit), and has at most MEM_PART_BYTES, guard pages included. The page
 * above the objects moves as their number grows, by system calls. If the system refuses one, the
 * call that needs it fails with MEM_NO_SPACE.
 *
 * Returns the heap; or NULL, and mem_last_error() is
 *   MEM_BAD_SIZE     if nbytes is 0;
 *   MEM_TOO_LARGE    if nbytes is more than MEM_HEAP_MAX, or with guard pages more than
 *                    MEM_PART_BYTES less six pages;
 *   MEM_BAD_OPTIONS  if a flag or the style does not exist;
 *   MEM_NO_MEMORY    if the system refuses the mapping, a guard page, or memory for the table.
 * O(h) in the number of heaps. */
mem_heap *mem_heap_create(size_t nbytes, const struct mem_options *options);

/* Makes a heap in a buffer, which stays the caller's and must live until the heap is destroyed or
 * detached [H1]. nbytes is rounded down to a multiple of 16. What the buffer holds before does not
 * matter. The header lies at its low end and the records at its high end. A heap of MEM_HEAP_MIN
 * bytes can hold an object of 32 bytes, whatever its options are.
 *
 * No call on such a heap makes a system call [H17], with these exceptions:
 *   a call that has to wait, for a lock or for a heap that another thread is changing, and the
 *   call that wakes the waiting one;
 *   the making of the first heap of a process, and of each heap for which the table of all heaps
 *   has to grow (the 25th is the first);
 *   the first mem_find or mem_find_in of each thread (and, of a thread beyond the twentieth, some
 *   later ones: one in 1,024);
 *   mem_heap_destroy and mem_heap_detach, if another thread has called mem_find or mem_find_in.
 *
 * Returns the heap; or NULL, and mem_last_error() is
 *   MEM_BAD_BUFFER   if the buffer is NULL or not 16-byte aligned;
 *   MEM_BAD_SIZE     if nbytes is less than MEM_HEAP_MIN;
 *   MEM_TOO_LARGE    if nbytes is more than MEM_PART_BYTES;
 *   MEM_BAD_OPTIONS  if a flag or the style does not exist, or with MEM_GUARD_PAGES;
 *   MEM_NO_MEMORY    if the table of all heaps has to grow, and the system refuses memory for it.
 *                    The buffer may have been written to.
 * O(h) in the number of heaps. */
mem_heap *mem_heap_in(void *buffer, size_t nbytes, const struct mem_options *options);

/* Destroys a heap and all objects in it [H1]. A heap that mem_heap_create made is unmapped. A
 * buffer is the caller's again. If another thread is in a mem_find, waits until that is over. If
 * other threads have called mem_find and the system refuses the call membarrier, the mapping
 * stays until the process ends.
 *   Returns MEM_OK, or an error that every call can have. A damaged heap cannot be destroyed
 * (MEM_DAMAGED), and its memory stays as it is. O(h) in the number of heaps. */
enum mem_result mem_heap_destroy(mem_heap *heap);

/* --- allocating [H3] -------------------------------------------------------------- */

/* Returns a new object of exactly `size` bytes, at a multiple of 16 [H3]. The caller owns it
 * until it is freed, or the heap is destroyed. Its content is indeterminate, except with
 * MEM_FILL_NEW. An object of 0 bytes is possible: it has a start of its own, and is freed like
 * any other.
 *
 * Returns NULL, and mem_last_error() is
 *   MEM_TOO_LARGE   if `size` is more than the heap has, or more than MEM_PART_BYTES;
 *   MEM_OVER_LIMIT  if the live objects would have more bytes than the limit [H16];
 *   MEM_NO_SPACE    if and only if no free chunk can hold the object and its record, and, for a
 *                   small object, no free slot; or if the system refuses to move a guard page.
 * O(log n); in a heap with slots mostly O(1) for a small object. */
void *mem_alloc(mem_heap *heap, size_t size);

/* Returns a new object as mem_alloc does, with all its bytes 0. Fails as mem_alloc does. O(size) in
 * addition to mem_alloc. */
void *mem_zalloc(mem_heap *heap, size_t size);

/* Returns a new object as mem_alloc does, at a multiple of `align`, which is a power of two; 1 is
 * possible too. The object is at a multiple of 16 in any case. If `align` is more than 16, and
 * the style of the heap is worst fit or first fit, the object is placed by best fit.
 *   Returns NULL as mem_alloc does; also with MEM_BAD_ALIGNMENT if `align` is not a power of
 * two. O(log n), but with an alignment of more than 16, O(n) before it fails. */
void *mem_aligned(mem_heap *heap, size_t size, size_t align);

/* Returns a new object as mem_aligned does, placed by `style`, which need not be the style of the
 * heap [H4]. An alignment of more than 16 is possible with MEM_ANY_FIT and MEM_BEST_FIT only; the
 * chunk is then not always the smallest that could hold the object.
 *   Returns NULL as mem_aligned does; also with MEM_BAD_STYLE if the style does not exist, or is
 * not possible with this alignment. With an alignment of more than 16, O(n) before it fails. */
void *mem_alloc_fit(mem_heap *heap, size_t size, size_t align, enum mem_style style);

/* --- resizing and freeing [H5] [H6] ----------------------------------------------- */

/* Gives the object that begins at `object` the new size, and returns where it is then [H5]. The
 * object stays in place, unless the memory behind it does not suffice, or it would leave most of a
 * large slot unused. Then it moves: the new place is chosen by the style of the heap, and is a
 * multiple of 16, even if the object was allocated with a larger alignment; the content is copied
 * as far as it fits; and the old object is freed. A size of 0 makes it an object of 0 bytes, and
 * does not free it. If `object` is NULL, the call is mem_alloc(heap, size).
 *
 * Returns NULL, the object is as it was, and mem_last_error() is
 *   MEM_NOT_OURS, MEM_NO_OBJECT, MEM_FREE or MEM_INSIDE
 *                   if `object` is not the start of a live object of this heap (see mem_free);
 *   MEM_TOO_LARGE   if `size` is more than the heap has, or more than MEM_PART_BYTES;
 *   MEM_OVER_LIMIT  if the object grows, and the live objects would have more bytes than the limit;
 *   MEM_NO_SPACE    if the object has to move, and no free chunk or slot can hold it. A smaller
 *                   size can fail too, where it makes the object move.
 * O(log n), and O(size) if the object moves. */
void *mem_resize(mem_heap *heap, void *object, size_t size);

/* Frees the object that begins at `object` [H6]. Free chunks that touch become one chunk at once.
 * Any value may be passed: the call never reads or writes through it, except to fill an object that
 * it has freed (MEM_FILL_FREED). If `object` is NULL, returns MEM_OK, and nothing happens.
 *
 * A call that is refused changes nothing. It returns
 *   MEM_NOT_OURS   if the address is outside the heap;
 *   MEM_NO_OBJECT  if it is in the heap's own data, or behind the last byte of an object;
 *   MEM_FREE       if it is in free memory. Of two frees of one object, one after the other, the
 *                  second returns this, until the memory is used again: once a new object lies
 *                  there, the old address is a valid address of the new object;
 *   MEM_INSIDE     if it is in a live object, but is not its start.
 * Then on_refused is called, if there is one [H16]. O(log n), and mostly O(1) for slots. */
enum mem_result mem_free(mem_heap *heap, void *object);

/* Frees the object that `address` lies in, from its first byte to its last [H6]. Fails as mem_free
 * does, except that it never returns MEM_INSIDE. One past the end of an object may be the first
 * byte of the next object. O(log n). */
enum mem_result mem_free_any(mem_heap *heap, void *address);

/* --- finding [H7] ----------------------------------------------------------------- */

/* A live object or a piece of free memory. */
struct mem_piece {
    void *start;
    size_t size;    /* The size of an object as it was asked for; or all of a free chunk or slot. */
    bool live;      /* True for an object. */
    mem_heap *heap; /* The heap that the piece is in. mem_find writes NULL here if that is the heap
                       of Mem_Init or malloc's. */
};

/* Finds the piece that `address` lies in, in whatever heap that is [H7]. The address may be any
 * value. If a heap lies in an object of another heap, the inner heap answers. Knows the heap of
 * Mem_Init too, and malloc's if mem_heap_of_process() returns a heap.
 *   Never waits for a lock. A signal handler may call it, even if the signal has interrupted a call
 * on that heap. Other threads may use and destroy heaps meanwhile. The answer is the state at some
 * moment of the call. Leaves errno and mem_last_error() alone.
 *
 * Returns MEM_OK and writes *found, for a live object and for free memory. Otherwise does not write
 * *found, and returns
 *   MEM_NOT_OURS   if the address is in no heap;
 *   MEM_NO_OBJECT  if it is in a heap's own data, or behind the last byte of an object;
 *   MEM_BUSY       if the heap was being changed all the time, for some milliseconds; or by the
 *                  call that a signal has interrupted. That is never returned for a small object in
 *                  a slot, unless the interrupted call obtains or gives back memory for slots;
 *   MEM_DAMAGED    if what is found there contradicts itself.
 * O(log h) in the number of heaps; and O(log n), except for objects in slots. */
enum mem_result mem_find(const void *address, struct mem_piece *found);

/* Finds the piece of this heap that `address` lies in [H7]. Addresses outside the heap are
 * MEM_NOT_OURS. If another heap lies in an object of this heap, the object is found. Unlike
 * mem_find, it sets mem_last_error(), may wait for the heap's lock if the heap changes all the
 * time, and must not be called by a signal handler.
 *   Returns MEM_OK and writes *found; or does not write it and returns MEM_NOT_OURS or
 * MEM_NO_OBJECT, as mem_find does. O(log n), except for objects in slots. */
enum mem_result mem_find_in(mem_heap *heap, const void *address, struct mem_piece *found);

/* --- walking and counting [H8] [H9] ----------------------------------------------- */

/* A visitor of mem_walk. It returns false to end the walk. *piece is valid until it returns. */
typedef bool (*mem_visitor)(const struct mem_piece *piece, void *context);

/* Calls `visit` for every live object, every free chunk and every free slot, in address order,
 * until there are no others or `visit` returns false [H8]. The visitor must not call on this
 * heap (such calls fail with MEM_BUSY), except mem_find and mem_find_in. It must not wait for a
 * thread that calls on this heap, since other threads wait until the walk is over.
 *   Returns MEM_OK, also if `visit` has ended the walk; or MEM_DAMAGED if the records contradict
 * each other, possibly after some pieces were visited. O(n log n). */
enum mem_result mem_walk(mem_heap *heap, mem_visitor visit, void *context);

/* What is in a heap [H9]. In every heap
 *     region_bytes = live_bytes + slack_bytes + free_bytes + metadata_bytes. */
struct mem_statistics {
    size_t region_bytes;   /* All of the heap's memory, with the header, the records and the guard
                              pages, except the first and the last guard page. */
    size_t limit;          /* The limit of the options; 0 if there is none. */
    size_t live_objects;   /* The number of live objects. */
    size_t live_bytes;     /* Their bytes, as they were asked for. */
    size_t peak_bytes;     /* The most that live_bytes ever was. */
    size_t slack_bytes;    /* The bytes behind live objects that no other object can have: sizes are
                              rounded up to a multiple of 16 or to a slot; and where there is no
                              room for one more record, a chunk is handed out whole. */
    size_t free_chunks;    /* The number of runs of free memory and of free slots. */
    size_t free_bytes;     /* The bytes in these. */
    size_t largest_free;   /* The longest run of free memory. mem_alloc_fit can allocate an object
                              of this size, by any style, and by an exact style none that is
                              larger. With MEM_ANY_FIT there may be a longer free slot. The limit
                              does not count here. */
    size_t metadata_bytes; /* All the rest: the header, the records, what is kept for them, and
                              guard pages. */
    size_t resident_bytes; /* The bytes of region_bytes in pages that are in memory now, shared with
                              other processes or not. Of a heap in a buffer this is region_bytes,
                              since the system is not asked. */
};

/* Counts what is in the heap, and writes *stats [H9]. Other threads wait. Of a heap that
 * mem_heap_create made, the system is asked for each page whether it is in memory, which takes some
 * milliseconds for 64 GiB. Does not write *stats if it fails, with an error that every call can
 * have. O(n log n). */
enum mem_result mem_stats(mem_heap *heap, struct mem_statistics *stats);

/* --- checking [H10] --------------------------------------------------------------- */

/* Recounts all that the heap knows of itself. Returns MEM_OK; or MEM_DAMAGED if something
 * contradicts itself; or another error that every call can have. If `wrong` is not NULL, *wrong
 * becomes a few words of English that say what is wrong, or NULL if nothing is wrong. The text is
 * static. Other threads wait. O(n log n).
 *
 * Damage [H10]. Whatever has been written over a heap's header, records, states and page map,
 *   no call crashes, loops for ever, or touches memory outside the heap; and
 *   mem_check reports every change that has an effect, and mem_heap_attach refuses it or undoes
 *   it. (The header has a sum of 32 bits, which misses one change in four thousand million.)
 * There are two exceptions: the lock, and a header that was replaced by the whole header of another
 * heap. There are two more in a heap with slots:
 *   the calls that allocate, free or resize an object find only a part of all damage, and may do
 *   anything after the rest, unless the heap has MEM_CHECK_CALLS;
 *   no check covers peak_bytes, and how far memory was ever used, until the heap is detached;
 *   several changes may cancel each other out, if objects are as many and as large as before.
 * Heaps without slots are those of less than 1 MiB and 1 KiB (region_bytes of mem_stats)
 * without MEM_SLOTS, or of less than 16 KiB with it. This size decides for a heap with guard pages
 * too, although it never has slots. */
enum mem_result mem_check(mem_heap *heap, const char **wrong);

/* --- detaching and attaching [H15] ------------------------------------------------ */

/* Detaches a heap that lies in a buffer [H15]: it must not be used until mem_heap_attach opens it
 * again, and the objects in it stay. Meanwhile the buffer may be copied, written to a file, moved
 * or unmapped.
 *   Returns MEM_OK; or MEM_BAD_BUFFER if mem_heap_create made the heap; or an error that every call
 * can have. O(h) in the number of heaps. */
enum mem_result mem_heap_detach(mem_heap *heap);

/* Opens the heap that is in the buffer already [H15]: a heap that was detached, or a copy of a heap
 * that was made while no call was under way; in this process or in another, at this address or
 * elsewhere. The heap is checked first, as by mem_check. nbytes may be more than the heap has.
 *
 * All options are as they were, except the callbacks and their context: these are taken from
 * `options`, which may be NULL. The rest of `options` is ignored. The lock is new, and good for the
 * threads of one process.
 *
 * Addresses that the program has stored in objects are the program's to correct, for example by
 * storing offsets from the heap. An object with an alignment of more than 16 still has it if the
 * heap has moved by a multiple of that alignment.
 *
 * Returns the heap, which is at the address `buffer`; or NULL, and mem_last_error() is
 *   MEM_BAD_BUFFER   if the buffer is NULL or not 16-byte aligned; or if the heap has memory in
 *                    use for slots, and has not moved by whole slices, of 64 KiB or less each;
 *   MEM_BAD_SIZE     if nbytes is less than MEM_HEAP_MIN or than the heap has;
 *   MEM_NO_HEAP      if there is no heap in the buffer;
 *   MEM_BAD_VERSION  if another version of the library made the heap;
 *   MEM_DAMAGED      if the check finds something, as it also does in a copy that was made while a
 *                    call was under way;
 *   MEM_BAD_OPTIONS  if there is a callback in `options`, but the heap was made without callbacks
 *                    and without a limit, so that it has no place for any; or if the heap has guard
 *                    pages;
 *   MEM_TOO_LARGE    if the heap has several parts;
 *   MEM_BUSY         if the heap is attached already;
 *   MEM_NO_MEMORY    if the table of all heaps has to grow, and the system refuses memory for it.
 *                    The heap can still be attached later.
 * O(n log n), and O(h) in the number of heaps. */
mem_heap *mem_heap_attach(void *buffer, size_t nbytes, const struct mem_options *options);

/* --- the heaps of malloc and of Mem_Init [H18] ------------------------------------ */

/* Returns a handle of the heap that malloc of this process uses, if libmem-malloc.so provides
 * malloc [H18]. That library looks for this one when the process starts: it finds it as a shared
 * library, or in a program that is linked with libmem.a and
 * -Wl,--export-dynamic-symbol=mem_heap_also.
 *
 * The handle is for mem_find_in, mem_walk, mem_stats and mem_check, from any thread, but not in a
 * signal handler. Every other call that takes a heap fails with MEM_FOREIGN or MEM_NO_HEAP, and
 * does no harm. The heap is there until the process ends, and in a child of fork too. The caller
 * does not own it.
 *
 * A visitor of mem_walk may call anything, also malloc, free and mem_walk: other threads do not
 * wait, and go on allocating and freeing. So the walk is no picture of one moment. An object that
 * lives, and is not resized, from the beginning to the end of the walk is visited exactly once,
 * with its size. Other objects and free memory are visited once or not at all, as they were at
 * some moment of the walk. All pieces come in address order, and none overlaps the one before.
 * Slots that a thread keeps ready to hand out are free memory.
 *
 * mem_stats and mem_check make other threads wait, except for small objects. peak_bytes is 0 unless
 * `mem run --report` counts.
 *
 * Returns NULL, and mem_last_error() is
 *   MEM_NO_HEAP      if malloc is not libmem-malloc.so's, or has not found this library;
 *   MEM_BAD_VERSION  if libmem-malloc.so is of another version than this library. */
mem_heap *mem_heap_of_process(void);

/* Returns a handle of the heap that Mem_Init has made (mem.h) [H18]. All that mem_heap_of_process
 * says of its handle holds for this handle too. Returns NULL, and mem_last_error() is
 * MEM_NO_HEAP, if no Mem_Init has succeeded yet. */
mem_heap *mem_heap_of_classic(void);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif

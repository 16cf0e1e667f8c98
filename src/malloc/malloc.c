/* SPDX-License-Identifier: MIT
 *
 * malloc.c - malloc and its relatives, on a heap of their own.
 *
 *     LD_PRELOAD=libmem-malloc.so program
 *
 * This file knows what the C functions promise (docs/malloc.md, M1 to M13), and nothing of how the
 * heap keeps its promises. The heap judges what an address is; this file decides what to do about
 * it (report.h, options.h). How the heap is opened is in start.h.
 *
 * Each function first tries the thread cache (slots/tcache.h), inline and without a stack frame; if
 * that fails it calls the slow path, *_slow, as its last act.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/os.h"
#include "base/probe.h"
#include "core/watch.h"
#include "malloc/hard.h"
#include "malloc/report.h"
#include "malloc/shim.h"
#include "malloc/start.h"

/* --- objects ------------------------------------------------------------------ */

/* In a larger object the difference of two pointers would overflow ptrdiff_t [M2]. */
static bool is_too_large(size_t nbytes)
{
    return nbytes > PTRDIFF_MAX;
}

/* Adds one to a counter of shim_row that the heap itself does not keep. */
static void count_event(uint64_t *n)
{
    assert(shim_row != NULL);
    heap_lock(&shim_heap);
    ++*n;
    heap_unlock(&shim_heap);
}

/* Counts a failed allocation, and returns NULL. */
static void *no_room(void)
{
    if (shim_row != NULL)
        count_event(&shim_row->counters.nfailed);
    return NULL;
}

/* Notes a new object, or one that was resized where it lay. No other thread knows the object yet,
 * or changes it meanwhile, so the lock is not held in between. */
__attribute__((noinline, cold)) static void note(enum event_kind kind, enum call call,
                                                 const void *object, size_t nbytes)
{
    struct moment now;
    moment_take(&now);
    heap_lock(&shim_heap);
    history_note_locked(shim_history, &now, kind, call, object, nbytes);
    heap_unlock(&shim_heap);
}

/* Writes the stack of this call, and, unless the address is NULL, what the history knows of that:
 * to the pipe that LIBMEM names, or to standard error if there is none, or if `mem run', which made
 * it, has ended. Keeps errno, as free does. */
__attribute__((noinline, cold)) static void print_past(const void *address)
{
    int number = errno;
    struct moment now;
    struct past past = {0};
    moment_take(&now);
    if (address != NULL) {
        heap_lock(&shim_heap);
        past = history_find_locked(shim_history, address);
        heap_unlock(&shim_heap);
    }
    int fd = shim_options.stacks[0] == '\0'
                 ? -1
                 : os_open_pipe(shim_options.stacks, shim_options.stacks_inode);
    history_print(shim_history, &now, address == NULL ? NULL : &past, fd < 0 ? STDERR_FILENO : fd);
    if (fd >= 0)
        os_close(fd);
    errno = number;
}

void shim_reported(const void *address)
{
    if (shim_history != NULL)
        print_past(address);
    if (shim_options.onerror == ONERROR_ABORT)
        abort();
}

/* Reports what a measure has found during a call, if it has found anything, and aborts, as
 * LIBMEM=onerror says. */
static void refuse_fault(enum call call, const void *address, const struct fault *fault)
{
    if (fault->kind == FAULT_NONE || shim_options.onerror == ONERROR_IGNORE)
        return;
    report_fault(call_name(call), address, fault);
    shim_reported(fault->object.start);
}

/* Frees an object as heap_free_exact does, with the measures that are in force, and notes that
 * before another thread can get the memory. */
__attribute__((noinline)) static enum heap_result free_with_care(enum call call,
                                                                 const void *address)
{
    struct moment now;
    struct object found;
    struct fault fault = {0};
    if (shim_history != NULL)
        moment_take(&now);
    heap_lock(&shim_heap);
    if (shim_is_watched())
        watch_change(&shim_heap);
    enum heap_result result = hard_measures != 0
                                  ? hard_free(address, call, &found, &fault)
                                  : heap_free_locked(&shim_heap, address, true, &found);
    if (result == HEAP_OK && shim_is_watched())
        memcheck_free(found.start, found.size);
    if (result == HEAP_OK && shim_history != NULL)
        history_note_locked(shim_history, &now, EVENT_FREED, call, address, found.size);
    if (result == HEAP_OK && hard_measures == 0)
        heap_trim_if_time_locked(&shim_heap);
    heap_unlock(&shim_heap);
    refuse_fault(call, address, &fault);
    return result;
}

/* Does what heap_take_at, resize_at and find_exact do in a process that is hardened. */
__attribute__((noinline)) static enum heap_result
take_hardened(size_t nbytes, size_t align, void **object, struct object *zero, enum call call)
{
    struct fault fault = {0};
    *object = NULL;
    heap_lock(&shim_heap);
    enum heap_result result = hard_take(nbytes, align, call, object, zero, &fault);
    heap_unlock(&shim_heap);
    refuse_fault(call, *object, &fault);
    return result;
}

__attribute__((noinline)) static enum heap_result
resize_hardened(enum call call, const void *address, size_t nbytes, bool anyway)
{
    struct fault fault = {0};
    heap_lock(&shim_heap);
    enum heap_result result = hard_resize(address, nbytes, anyway, call, &fault);
    heap_unlock(&shim_heap);
    refuse_fault(call, address, &fault);
    return result;
}

__attribute__((noinline, cold)) static enum heap_result find_hardened(const void *address,
                                                                      struct object *found)
{
    heap_lock(&shim_heap);
    enum heap_result result = hard_find(address, found);
    heap_unlock(&shim_heap);
    return result;
}

/* Does what heap_take_at and resize_at do under memcheck. What is new counts as not initialised, so
 * none of it is known to be zero. */
__attribute__((noinline, cold)) static enum heap_result
take_watched(size_t nbytes, size_t align, void **object, struct object *zero)
{
    heap_lock(&shim_heap);
    watch_change(&shim_heap);
    enum heap_result result = watch_place_apart(&shim_heap, nbytes, align, object);
    if (result == HEAP_NO_SPACE)
        result = heap_place_locked(&shim_heap, nbytes, align, FIT_ANY, object);
    if (result == HEAP_OK)
        watch_taken(&shim_heap, *object, nbytes);
    heap_unlock(&shim_heap);
    if (zero != NULL)
        *zero = (struct object){0};
    return result;
}

__attribute__((noinline, cold)) static enum heap_result resize_watched(const void *address,
                                                                       size_t nbytes)
{
    struct object old;
    heap_lock(&shim_heap);
    watch_change(&shim_heap);
    enum heap_result result = heap_find_locked(&shim_heap, address, &old);
    if (result == HEAP_OK)
        result =
            old.start == address ? heap_resize_locked(&shim_heap, address, nbytes) : HEAP_INSIDE;
    if (result == HEAP_OK)
        watch_resized(&shim_heap, old.start, old.size, nbytes);
    if (result == HEAP_OK)
        heap_trim_if_time_locked(&shim_heap);
    heap_unlock(&shim_heap);
    return result;
}

/* Gives the object that begins at `address` another size where it lies, as heap_resize does. */
static enum heap_result resize_at(enum call call, const void *address, size_t nbytes, bool anyway)
{
    if (shim_is_watched())
        return anyway ? resize_watched(address, nbytes) : HEAP_NO_SPACE;
    return hard_measures != 0 ? resize_hardened(call, address, nbytes, anyway)
                              : heap_resize(&shim_heap, address, nbytes, anyway);
}

/* Finds the object that begins at `address`, as heap_find_exact does. */
static enum heap_result find_exact(const void *address, struct object *found)
{
    return hard_measures != 0 ? find_hardened(address, found)
                              : heap_find_exact(&shim_heap, address, found);
}

/* Takes an object from the heap, under its lock. For calloc, `zero` is where to store which part of
 * it is known to be zero; else it is NULL. */
static enum heap_result heap_take_at(size_t nbytes, size_t align, void **object,
                                     struct object *zero, enum call call)
{
    if (hard_measures != 0)
        return take_hardened(nbytes, align, object, zero, call);
    if (shim_is_watched())
        return take_watched(nbytes, align, object, zero);
    if (zero != NULL)
        return heap_take_clean(&shim_heap, nbytes, object, zero);
    return align <= GRANULE_BYTES ? heap_take(&shim_heap, nbytes, FIT_ANY, object)
                                  : heap_take_aligned(&shim_heap, nbytes, align, object);
}

/* Counts an allocation, and returns whether it has to fail because LIBMEM=fail says so. Then no
 * thread has a cache, so that each of them comes here. */
__attribute__((noinline, cold)) static bool fails_on_purpose(enum call call, size_t nbytes)
{
    static size_t ncalls;
    size_t number = __atomic_add_fetch(&ncalls, 1, __ATOMIC_RELAXED);
    if (number < shim_options.fail_at ||
        (number > shim_options.fail_at && !shim_options.fail_lasts))
        return false;
    if (number > shim_options.fail_at)
        return true;
    report_failure(call_name(call), nbytes, number);
    if (shim_history != NULL)
        print_past(NULL);
    return true;
}

/* Takes an object from the heap, which is opened if this is the first call of the process. Returns
 * NULL if there is no space. */
static void *take_from_heap(size_t nbytes, size_t align, struct object *zero, enum call call)
{
    void *object;
    enum heap_result result = HEAP_NO_SPACE;
    assert(align != 0 && (align & (align - 1)) == 0);
    if (shim_options.fail_at != 0 && fails_on_purpose(call, nbytes))
        return no_room();
    if (!is_too_large(nbytes))
        result = heap_take_at(nbytes, align, &object, zero, call);
    if (result == HEAP_NO_REGION) {
        shim_start(environ);
        result = heap_take_at(nbytes, align, &object, zero, call);
    }
    if (result != HEAP_OK)
        return no_room();
    assert((uintptr_t)object % align == 0);
    if (shim_history != NULL)
        note(EVENT_TAKEN, call, object, nbytes);
    return object;
}

/* Takes a slot of that class: of the thread's own spans, else of another one. Returns false if the
 * thread has no cache, or the heap is full. */
static bool take_of_class(size_t nbytes, unsigned sizeclass, void **object, bool *clean)
{
    do {
        if (tcache_take(&shim_thread, nbytes, sizeclass, object, clean))
            return true;
    } while (thread_tcache(&shim_thread) != NULL &&
             heap_refill(&shim_heap, &shim_thread, sizeclass));
    return false;
}

/* Takes a slot of the size class for `room` bytes at a multiple of align, for an object of nbytes.
 * Returns false if there is no such class, the thread can have no cache, or the heap is full.
 * Stores whether all of the slot is known to be zero, unless `clean` is NULL. */
static bool take_slot(size_t nbytes, size_t room, size_t align, void **object, bool *clean)
{
    unsigned sizeclass = shim_ensure_tcache() ? heap_sizeclass(&shim_heap, room, align) : NCLASSES;
    return sizeclass < NCLASSES && take_of_class(nbytes, sizeclass, object, clean);
}

/* Takes an object from a slot if possible, else from the heap. Returns NULL if there is no room. */
static void *take_any(size_t nbytes, size_t align, enum call call)
{
    void *object;
    bool taken = align <= GRANULE_BYTES && tcache_take_again(&shim_thread, nbytes, &object);
    if (taken || (hard_measures == 0 && take_slot(nbytes, nbytes, align, &object, NULL)))
        return object;
    return take_from_heap(nbytes, align, NULL, call);
}

/* Takes the new place of an object of `old` bytes that moves, to hold nbytes. A program that grows
 * an object by little will soon do so again: it gets a slot with an eighth more room, so that the
 * next few times the object stays where it is. */
static void *take_to_move(size_t nbytes, size_t old, enum call call)
{
    enum { PART = 8 };
    void *object;
    assert(!is_too_large(nbytes));
    bool by_little = nbytes > old && nbytes - old <= old / PART;
    if (by_little && take_slot(nbytes, nbytes + nbytes / PART, GRANULE_BYTES, &object, NULL))
        return object;
    return shim_take(nbytes, call);
}

__attribute__((noinline)) void *shim_take_slow(size_t nbytes, enum call call)
{
    return take_any(nbytes, GRANULE_BYTES, call);
}

__attribute__((noinline)) void *shim_take_aligned_slow(size_t nbytes, size_t align, enum call call)
{
    return take_any(nbytes, align, call);
}

/* Sets errno if an allocation has failed. */
static void *or_errno(void *object)
{
    if (object == NULL)
        errno = ENOMEM;
    return object;
}

/* Counts and reports a pointer that a call refused, and aborts, as LIBMEM=onerror says [M3]. */
static void refuse(enum call call, const void *address, enum heap_result why)
{
    struct object there = {0};
    assert(why != HEAP_OK && why != HEAP_NO_SPACE && address != NULL);
    PROBE_REFUSED(address);
    if (shim_row != NULL)
        count_event(&shim_row->counters.nrefused[why == HEAP_FREE       ? REFUSED_FREE
                                                 : why == HEAP_INSIDE   ? REFUSED_INSIDE
                                                 : why == HEAP_NOT_OURS ? REFUSED_NOT_OURS
                                                                        : REFUSED_NO_OBJECT]);
    if (shim_options.onerror == ONERROR_IGNORE)
        return;
    if (why == HEAP_INSIDE)
        why = heap_find_exact(&shim_heap, address, &there);
    report_refusal(call_name(call), address, why, &there);
    shim_reported(address);
}

/* Counts the frees of a thread without a cache, and returns whether it has freed enough to get one.
 * The first few frees do not count: libc frees when a thread has all but ended, and would not run
 * the key's destructor for a thread that sets the key so late. */
static bool count_towards_tcache(struct thread *t)
{
    enum { FEW = 64 };
    assert(t->nfrees <= FEW);
    t->nfrees = (uint8_t)least(t->nfrees + 1u, FEW);
    return t->is_awaited || t->nfrees == FEW;
}

/* Frees an object that is in no slot, or refuses an address that is wrong: the thread cache cannot
 * tell the two apart. */
__attribute__((noinline)) static void free_by_heap(const void *address, enum call call)
{
    if (hard_measures == 0 && count_towards_tcache(&shim_thread))
        (void)shim_ensure_tcache(); /* this free does not use it, the next one will */
    bool with_care = shim_history != NULL || hard_measures != 0 || shim_is_watched();
    enum heap_result result =
        with_care ? free_with_care(call, address) : heap_free_exact(&shim_heap, address);
    if (result != HEAP_OK)
        refuse(call, address, result);
}

void shim_free_slow(const void *address, enum call call)
{
    if (address != NULL)
        free_by_heap(address, call);
}

/* What LIBMEM=sizes says, or, if it says nothing, what onerror says. */
static enum onerror on_wrong_size(void)
{
    return shim_options.sizes_is_set ? shim_options.sizes : shim_options.onerror;
}

/* Compares size and alignment, if the address is that of an object, and frees it; `given` is NULL
 * if the caller gave no size. A wrong address is refused by shim_free, as always. An object whose
 * size is only reported is freed: its address is right. */
__attribute__((noinline)) static void free_compared(const void *address, const size_t *given,
                                                    size_t align, enum call call)
{
    struct object object = {(void *)(uintptr_t)address, 0};
    bool is_object =
        tcache_size(&shim_thread, address, &object.size) || find_exact(address, &object) == HEAP_OK;
    bool is_aligned = is_power_of_two(align) && (uintptr_t)address % align == 0;
    size_t nbytes = given == NULL ? object.size : *given;
    if (is_object && (object.size != nbytes || !is_aligned) && on_wrong_size() != ONERROR_IGNORE) {
        report_wrong_size(call_name(call), &object, nbytes, align);
        if (shim_history != NULL)
            print_past(address);
        if (on_wrong_size() == ONERROR_ABORT)
            abort();
    }
    shim_free(address, call);
}

void shim_free_sized_slow(const void *address, size_t nbytes, size_t align, enum call call)
{
    free_compared(address, &nbytes, align, call);
}

void shim_free_aligned_slow(const void *address, size_t align, enum call call)
{
    free_compared(address, NULL, align, call);
}

__attribute__((noinline)) void shim_refile(const void *address)
{
    heap_refile(&shim_heap, address);
}

/* Clears a part of a new object, except for its end. Its whole pages go back to the system. Returns
 * where the end begins; or `from`, if the system refuses. */
__attribute__((noinline, cold)) static unsigned char *clear_by_pages(unsigned char *from,
                                                                     unsigned char *to)
{
    uintptr_t page = os_page_bytes();
    unsigned char *first = from + (page - (uintptr_t)from % page) % page;
    unsigned char *last = to - (uintptr_t)to % page;
    if (!os_give_back(first, (size_t)(last - first)))
        return from;
    memset(from, 0, (size_t)(first - from));
    return last;
}

/* Clears a part of a new object. Pages go back to the system for this only if there are very many:
 * a fault for each of them takes longer than to clear it, but a program that makes so large a table
 * may never use most of it, and has no memory for it until then. A memset of no byte is left out:
 * it may be a store under an empty mask, which takes 150 ns at a page that is not there. */
static void clear(unsigned char *from, unsigned char *to)
{
    const size_t very_many = (size_t)64 << 20;
    if ((size_t)(to - from) >= very_many)
        from = clear_by_pages(from, to);
    if (from < to)
        memset(from, 0, (size_t)(to - from));
}

/* Clears a new object, except for the part that is known to be zero [M11]. */
static void *clear_around(void *object, size_t nbytes, const struct object *zero)
{
    unsigned char *start = object, *end = start + nbytes;
    unsigned char *from = zero->size > 0 ? zero->start : end, *to = from + zero->size;
    assert(from >= start && to <= end);
    clear(start, from);
    clear(to, end);
    return object;
}

/* Returns the address of an object that was resized where it lay. */
static void *resized(enum call call, void *address, size_t nbytes)
{
    if (shim_history != NULL)
        note(EVENT_RESIZED, call, address, nbytes);
    return address;
}

/* Resizes an object that finds no other place. The search for one has gathered free memory, also
 * behind the object, so that it may grow there. One that is not to grow stays in any case, and
 * pins. */
__attribute__((noinline, cold)) static void *resize_where_it_is(enum call call, void *address,
                                                                size_t nbytes, size_t old)
{
    bool grows = nbytes > old;
    if (!grows || shim_options.fail_at == 0) {
        enum heap_result result = resize_at(call, address, nbytes, !grows);
        if (result == HEAP_OK || !grows)
            return resized(call, address, nbytes);
    }
    errno = ENOMEM;
    return NULL;
}

/* Gives the object that begins at `address` a new size: in place if that is possible, else it
 * moves. Returns where it is then, or NULL with errno set, and the object is unchanged. */
static void *resize_object(enum call call, void *address, size_t nbytes)
{
    struct object old = {0};
    enum heap_result result = HEAP_OK;
    if (tcache_resize(&shim_thread, address, nbytes, &old.size))
        return address;
    if (old.size == SIZE_MAX) {
        /* Where allocations fail on purpose, each object moves, so that each realloc may fail. */
        result =
            shim_options.fail_at != 0 ? HEAP_NO_SPACE : resize_at(call, address, nbytes, false);
        if (result == HEAP_OK)
            return resized(call, address, nbytes);
        if (result == HEAP_NO_SPACE)
            result = find_exact(address, &old);
    }
    if (result != HEAP_OK) {
        refuse(call, address, result);
        errno = EINVAL;
        return NULL;
    }
    void *object = take_to_move(nbytes, old.size, call);
    if (object == NULL)
        return resize_where_it_is(call, address, nbytes, old.size);
    assert(object != address);
    if (shim_row != NULL)
        count_event(&shim_row->counters.nmoved);
    memcpy(object, address, old.size < nbytes ? old.size : nbytes);
    shim_free(address, call);
    return object;
}

/* The slow path of realloc and reallocarray. NULL and a size of 0 mean what they mean to glibc's
 * realloc [M2]. */
__attribute__((noinline)) static void *realloc_slow(enum call call, void *address, size_t nbytes)
{
    if (address == NULL)
        return or_errno(shim_take(nbytes, call));
    if (nbytes == 0) {
        shim_free(address, call);
        return NULL;
    }
    if (is_too_large(nbytes))
        return or_errno(no_room());
    return resize_object(call, address, nbytes);
}

__attribute__((noinline)) static int posix_memalign_slow(void **result, size_t align, size_t nbytes)
{
    void *object = shim_take_aligned_slow(nbytes, align, CALL_POSIX_MEMALIGN);
    if (object == NULL)
        return ENOMEM;
    *result = object;
    return 0;
}

/* --- the C functions ------------------------------------------------------------ */

/* Returns whether an object of nbytes gets a large slot, if it gets a slot. */
static bool is_large(size_t nbytes)
{
    return nbytes > TCACHE_SMALL_MAX && nbytes <= SPAN_OBJECT_MAX;
}

/* None of these three is inlined, so that their callers need no stack frame. What a thread with a
 * cache needs most of the time, more small slots, is done before anything else. */
__attribute__((noinline)) static void *malloc_slow(size_t nbytes)
{
    void *object;
    if (nbytes <= TCACHE_SMALL_MAX && take_of_class(nbytes, sizeclass_of(nbytes), &object, NULL))
        return object;
    return or_errno(shim_take_slow(nbytes, CALL_MALLOC));
}

__attribute__((noinline)) ALIGNED_TO_LINE static void *malloc_again(size_t nbytes)
{
    void *object;
    return tcache_take_again(&shim_thread, nbytes, &object) ? object : malloc_slow(nbytes);
}

__attribute__((noinline)) ALIGNED_TO_LINE static void *malloc_large(size_t nbytes)
{
    void *object;
    bool taken = is_wide(nbytes)
                     ? nbytes <= SPAN_OBJECT_MAX && tcache_take_wide(&shim_thread, nbytes, &object)
                     : tcache_take_large(&shim_thread, nbytes, sizeclass_of(nbytes), &object, NULL);
    return taken ? object : malloc_slow(nbytes);
}

MEM_API ALIGNED_TO_LINE void *malloc(size_t nbytes)
{
    void *object;
    if (nbytes > TCACHE_SMALL_MAX)
        return malloc_large(nbytes);
    return tcache_take_small(&shim_thread, nbytes, &object) ? object : malloc_again(nbytes);
}

/* Takes an object that calloc then clears, as malloc_large does, and stores which part of it is
 * known to be zero. Returns NULL if there is no space. */
static void *take_to_clear(size_t nbytes, struct object *zero)
{
    void *object;
    bool clean;
    if ((is_large(nbytes) &&
         tcache_take_large(&shim_thread, nbytes, sizeclass_of(nbytes), &object, &clean)) ||
        take_slot(nbytes, nbytes, GRANULE_BYTES, &object, &clean)) {
        *zero = (struct object){object, clean ? nbytes : 0};
        return object;
    }
    return take_from_heap(nbytes, GRANULE_BYTES, zero, CALL_CALLOC);
}

__attribute__((noinline)) static void *calloc_slow(size_t nbytes)
{
    struct object zero;
    void *object;
    if (tcache_take_again(&shim_thread, nbytes, &object))
        return memset(object, 0, nbytes);
    object = or_errno(take_to_clear(nbytes, &zero));
    return object == NULL ? NULL : clear_around(object, nbytes, &zero);
}

MEM_API ALIGNED_TO_LINE void *calloc(size_t nmembers, size_t nbytes)
{
    size_t all;
    void *object;
    if (__builtin_mul_overflow(nmembers, nbytes, &all))
        all = SIZE_MAX; /* more than there is, so that the slow path fails */
    return tcache_take_small(&shim_thread, all, &object) ? memset(object, 0, all)
                                                         : calloc_slow(all);
}

MEM_API ALIGNED_TO_LINE void *realloc(void *address, size_t nbytes)
{
    return tcache_resize_near(&shim_thread, address, nbytes)
               ? address
               : realloc_slow(CALL_REALLOC, address, nbytes);
}

MEM_API void *reallocarray(void *address, size_t nmembers, size_t nbytes)
{
    size_t all;
    if (__builtin_mul_overflow(nmembers, nbytes, &all))
        all = SIZE_MAX;
    return realloc_slow(CALL_REALLOCARRAY, address, all);
}

MEM_API ALIGNED_TO_LINE void free(void *address)
{
    shim_free(address, CALL_FREE);
}

void cfree(void *address);
MEM_API void cfree(void *address)
{
    shim_free(address, CALL_CFREE);
}

/* C23. The size and the alignment are compared with what the object has [M10]. */
void free_sized(void *address, size_t nbytes);
MEM_API ALIGNED_TO_LINE void free_sized(void *address, size_t nbytes)
{
    shim_free_sized(address, nbytes, 1, CALL_FREE_SIZED);
}

void free_aligned_sized(void *address, size_t align, size_t nbytes);
MEM_API void free_aligned_sized(void *address, size_t align, size_t nbytes)
{
    shim_free_sized(address, nbytes, align, CALL_FREE_ALIGNED_SIZED);
}

MEM_API int posix_memalign(void **result, size_t align, size_t nbytes)
{
    void *object;
    if (!is_power_of_two(align) || align % sizeof(void *) != 0)
        return EINVAL;
    if (!tcache_take_aligned(&shim_thread, nbytes, align, &object))
        return posix_memalign_slow(result, align, nbytes);
    *result = object;
    return 0;
}

__attribute__((noinline)) static void *aligned_alloc_slow(size_t align, size_t nbytes,
                                                          enum call call)
{
    if (is_power_of_two(align))
        return or_errno(shim_take_aligned_slow(nbytes, align, call));
    errno = EINVAL;
    return NULL;
}

MEM_API void *aligned_alloc(size_t align, size_t nbytes)
{
    void *object;
    return is_power_of_two(align) && tcache_take_aligned(&shim_thread, nbytes, align, &object)
               ? object
               : aligned_alloc_slow(align, nbytes, CALL_ALIGNED_ALLOC);
}

/* glibc's memalign rounds an alignment that is no power of two up to one; so does this. */
__attribute__((noinline)) static void *memalign_slow(size_t align, size_t nbytes)
{
    size_t power = GRANULE_BYTES;
    while (power < align && power <= SIZE_MAX / 2)
        power *= 2;
    assert((power & (power - 1)) == 0);
    return aligned_alloc_slow(power < align ? 0 : power, nbytes, CALL_MEMALIGN);
}

MEM_API void *memalign(size_t align, size_t nbytes)
{
    void *object;
    return is_power_of_two(align) && tcache_take_aligned(&shim_thread, nbytes, align, &object)
               ? object
               : memalign_slow(align, nbytes);
}

MEM_API void *valloc(size_t nbytes)
{
    return or_errno(shim_take_aligned(nbytes, os_page_bytes(), CALL_VALLOC));
}

MEM_API void *pvalloc(size_t nbytes)
{
    size_t all = os_whole_pages(nbytes);
    return or_errno(
        shim_take_aligned(all < nbytes ? SIZE_MAX : all, os_page_bytes(), CALL_PVALLOC));
}

/* The slow path of malloc_usable_size: an object that is in no slot, or a wrong address. */
__attribute__((noinline)) static size_t malloc_usable_size_slow(void *address)
{
    struct object object;
    if (address == NULL)
        return 0;
    enum heap_result result = find_exact(address, &object);
    if (result == HEAP_OK)
        return object.size;
    refuse(CALL_USABLE_SIZE, address, result);
    return 0;
}

MEM_API size_t malloc_usable_size(void *address)
{
    size_t nbytes;
    return tcache_size(&shim_thread, address, &nbytes) ? nbytes : malloc_usable_size_slow(address);
}

/* --- glibc's own names ------------------------------------------------------------ */

/* Programs call these by name, and libraries that wrap malloc call them in its place; both may free
 * such an object with free, and the other way round. So the names belong to the family. */
#if __has_attribute(copy)
#define ALSO(function) MEM_API __attribute__((alias(#function), copy(function)))
#else
#define ALSO(function) MEM_API __attribute__((alias(#function)))
#endif

ALSO(malloc) void *__libc_malloc(size_t nbytes);
ALSO(calloc) void *__libc_calloc(size_t nmembers, size_t nbytes);
ALSO(realloc) void *__libc_realloc(void *address, size_t nbytes);
ALSO(free) void __libc_free(void *address);
ALSO(memalign) void *__libc_memalign(size_t align, size_t nbytes);
ALSO(valloc) void *__libc_valloc(size_t nbytes);
ALSO(pvalloc) void *__libc_pvalloc(size_t nbytes);

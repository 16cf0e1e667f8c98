/* SPDX-License-Identifier: MIT
 *
 * malloc.c - malloc and its relatives, on a heap of their own.
 *
 *     LD_PRELOAD=libmem-malloc.so program
 *
 * This file knows what the C functions promise, and nothing of how the heap keeps
 * its promises: what an address is, the heap judges, and here it is decided what
 * to do about it (report.h, options.h). How the heap begins is in start.h.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/os.h"
#include "malloc/report.h"
#include "malloc/shim.h"
#include "malloc/start.h"

/* --- objects ------------------------------------------------------------------ */

/* Differences of pointers into larger objects would overflow. */
static bool is_too_large(size_t nbytes)
{
    return nbytes > PTRDIFF_MAX;
}

/* One more of what the heap does not see; `n` is in `shim_row`. */
static void count(uint64_t *n)
{
    heap_lock(&shim_heap);
    ++*n;
    heap_unlock(&shim_heap);
}

static void *no_room(void)
{
    if (shim_row != NULL)
        count(&shim_row->counters.nfailed);
    return NULL;
}

static enum heap_result take(size_t nbytes, size_t align, void **object)
{
    return align <= GRANULE_BYTES ? heap_take(&shim_heap, nbytes, FIT_ANY, object)
                                  : heap_take_aligned(&shim_heap, nbytes, align, object);
}

static void *take_from_heap(size_t nbytes, size_t align)
{
    void *object;
    enum heap_result result = HEAP_NO_SPACE;
    if (!is_too_large(nbytes))
        result = take(nbytes, align, &object);
    if (result == HEAP_NO_REGION) {
        shim_start(environ);
        result = take(nbytes, align, &object);
    }
    return result == HEAP_OK ? object : no_room();
}

/* In a slot that is good for `room` bytes at a multiple of align. */
static bool take_slot(size_t nbytes, size_t room, size_t align, void **object)
{
    bool has = shim_ensure_tcache();
    unsigned sizeclass = has ? heap_sizeclass(&shim_heap, room, align) : NCLASSES;
    while (sizeclass < NCLASSES && has) {
        if (tcache_take(&shim_thread, nbytes, sizeclass, object))
            return true;
        has = heap_refill(&shim_heap, &shim_thread, sizeclass);
    }
    return false;
}

/* By the cache if it can, else by the heap. */
static void *take_any(size_t nbytes, size_t align)
{
    void *object;
    return take_slot(nbytes, nbytes, align, &object) ? object : take_from_heap(nbytes, align);
}

/* For an object of `old` bytes that moves. Who grows by little comes back soon, and finds
 * room for a few times more where it is. */
static void *take_again(size_t nbytes, size_t old)
{
    enum { PART = 8 };
    void *object;
    bool by_little = nbytes > old && nbytes - old <= old / PART;
    if (by_little && take_slot(nbytes, nbytes + nbytes / PART, GRANULE_BYTES, &object))
        return object;
    return shim_take(nbytes);
}

__attribute__((noinline)) void *shim_take_slow(size_t nbytes)
{
    return take_any(nbytes, GRANULE_BYTES);
}

__attribute__((noinline)) void *shim_take_aligned_slow(size_t nbytes, size_t align)
{
    return take_any(nbytes, align);
}

static void *or_errno(void *object)
{
    if (object == NULL)
        errno = ENOMEM;
    return object;
}

/* The caller has made a mistake; with the default options it does not get further. */
static void refuse(const char *call, const void *address, enum heap_result why)
{
    struct object there = {0};
    if (shim_row != NULL)
        count(&shim_row->counters.nrefused[why == HEAP_FREE       ? REFUSED_FREE
                                           : why == HEAP_INSIDE   ? REFUSED_INSIDE
                                           : why == HEAP_NOT_OURS ? REFUSED_NOT_OURS
                                                                  : REFUSED_NO_OBJECT]);
    if (shim_options.onerror == ONERROR_IGNORE)
        return;
    if (why == HEAP_INSIDE)
        why = heap_find_exact(&shim_heap, address, &there);
    report_refusal(call, address, why, &there);
    if (shim_options.onerror == ONERROR_ABORT)
        abort();
}

/* A thread that frees has use for a cache, too. But libc calls free when a thread is all but
 * gone, and will not say that it ends if nobody has asked to hear of it before. */
static bool count_towards_tcache(struct thread *t)
{
    enum { FEW = 64 };
    t->nfrees = (uint8_t)least(t->nfrees + 1u, FEW);
    return t->is_awaited || t->nfrees == FEW;
}

/* Frees what the thread's cache does not see: what is no slot; what is wrong. */
__attribute__((noinline)) static void free_by_heap(const void *address, const char *call)
{
    if (count_towards_tcache(&shim_thread))
        (void)shim_ensure_tcache(); /* for the next time */
    enum heap_result result = heap_free_exact(&shim_heap, address);
    if (result != HEAP_OK)
        refuse(call, address, result);
}

/* The wide slots first. */
void shim_free_slow(const void *address, const char *call)
{
    if (address == NULL)
        return;
    enum tcache_freed freed = tcache_free_wide(&shim_thread, address);
    if (freed == TCACHE_FREED_REFILE)
        shim_refile(address);
    else if (freed == TCACHE_NOT_FREED)
        free_by_heap(address, call);
}

__attribute__((noinline)) void shim_refile(const void *address)
{
    heap_refile(&shim_heap, address);
}

/* Makes an object of several pages all zero: they are lost instead of being written to, so
 * that what a program does not use of it costs no memory. False: the system refuses. */
static bool clear_pages(unsigned char *object, size_t nbytes)
{
    size_t page = os_page_bytes();
    unsigned char *first = object + (-(uintptr_t)object & (page - 1));
    size_t before = (size_t)(first - object), whole = (nbytes - before) / page * page;
    if (!os_give_back(first, whole))
        return false;
    memset(object, 0, before);
    memset(first + whole, 0, nbytes - before - whole);
    return true;
}

/* Here belongs the question whether the memory was ever handed out before: if not, it is
 * zero. */
static void *clear(void *object, size_t nbytes)
{
    enum { LARGE = 1 << 20 };
    if (nbytes < LARGE || !clear_pages(object, nbytes))
        memset(object, 0, nbytes);
    return object;
}

static void *resize(const char *call, void *address, size_t nbytes)
{
    struct object old = {0};
    enum heap_result result = HEAP_OK;
    if (tcache_resize(&shim_thread, address, nbytes, &old.size))
        return address;
    if (old.size == SIZE_MAX) {
        result = heap_resize(&shim_heap, address, nbytes);
        if (result == HEAP_OK)
            return address;
        if (result == HEAP_NO_SPACE)
            result = heap_find_exact(&shim_heap, address, &old);
    }
    if (result != HEAP_OK) {
        refuse(call, address, result);
        errno = EINVAL;
        return NULL;
    }
    void *object = take_again(nbytes, old.size);
    if (object == NULL) {
        if (nbytes <= old.size)
            return address; /* no room for less: it stays as large as it is */
        errno = ENOMEM;
        return NULL;
    }
    if (shim_row != NULL)
        count(&shim_row->counters.nmoved);
    memcpy(object, address, old.size < nbytes ? old.size : nbytes);
    shim_free(address, call);
    return object;
}

__attribute__((noinline)) static void *allocate_again(const char *call, void *address,
                                                      size_t nbytes)
{
    if (address == NULL)
        return or_errno(shim_take(nbytes));
    if (nbytes == 0) {
        shim_free(address, call);
        return NULL;
    }
    if (is_too_large(nbytes))
        return or_errno(no_room());
    return resize(call, address, nbytes);
}

static bool is_power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

__attribute__((noinline)) static int posix_memalign_slow(void **result, size_t align, size_t nbytes)
{
    void *object = shim_take_aligned_slow(nbytes, align);
    if (object == NULL)
        return ENOMEM;
    *result = object;
    return 0;
}

/* --- the C functions ------------------------------------------------------------ */

static bool is_large(size_t nbytes)
{
    return nbytes > TCACHE_SMALL_MAX && nbytes <= SPAN_OBJECT_MAX;
}

/* Each apart, so that those before it need no frame. */
__attribute__((noinline)) static void *malloc_slow(size_t nbytes)
{
    return or_errno(shim_take_slow(nbytes));
}

__attribute__((noinline)) static void *malloc_larger(size_t nbytes)
{
    void *object;
    if (is_large(nbytes) && tcache_take_large(&shim_thread, nbytes, sizeclass_of(nbytes), &object))
        return object;
    return malloc_slow(nbytes);
}

MEM_API void *malloc(size_t nbytes)
{
    void *object;
    return tcache_take_small(&shim_thread, nbytes, &object) ? object : malloc_larger(nbytes);
}

__attribute__((noinline)) static void *calloc_slow(size_t nbytes)
{
    void *object = or_errno(shim_take_slow(nbytes));
    return object == NULL ? NULL : clear(object, nbytes);
}

MEM_API void *calloc(size_t nmembers, size_t nbytes)
{
    size_t all;
    void *object;
    if (__builtin_mul_overflow(nmembers, nbytes, &all))
        all = SIZE_MAX; /* too large */
    return tcache_take_small(&shim_thread, all, &object) ? memset(object, 0, all)
                                                         : calloc_slow(all);
}

MEM_API void *realloc(void *address, size_t nbytes)
{
    return tcache_resize_near(&shim_thread, address, nbytes)
               ? address
               : allocate_again("realloc", address, nbytes);
}

MEM_API void *reallocarray(void *address, size_t nmembers, size_t nbytes)
{
    size_t all;
    if (__builtin_mul_overflow(nmembers, nbytes, &all))
        all = SIZE_MAX;
    return allocate_again("reallocarray", address, all);
}

MEM_API void free(void *address)
{
    shim_free(address, "free");
}

void cfree(void *address);
MEM_API void cfree(void *address)
{
    shim_free(address, "cfree");
}

/* C23. The sizes are for allocators that cannot look them up. */
void free_sized(void *address, size_t nbytes);
MEM_API void free_sized(void *address, size_t nbytes)
{
    (void)nbytes;
    shim_free(address, "free_sized");
}

void free_aligned_sized(void *address, size_t align, size_t nbytes);
MEM_API void free_aligned_sized(void *address, size_t align, size_t nbytes)
{
    (void)align;
    (void)nbytes;
    shim_free(address, "free_aligned_sized");
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

__attribute__((noinline)) static void *aligned_alloc_slow(size_t align, size_t nbytes)
{
    if (is_power_of_two(align))
        return or_errno(shim_take_aligned_slow(nbytes, align));
    errno = EINVAL;
    return NULL;
}

MEM_API void *aligned_alloc(size_t align, size_t nbytes)
{
    void *object;
    return is_power_of_two(align) && tcache_take_aligned(&shim_thread, nbytes, align, &object)
               ? object
               : aligned_alloc_slow(align, nbytes);
}

/* As in glibc, what is not a power of two is rounded up to one. */
__attribute__((noinline)) static void *memalign_slow(size_t align, size_t nbytes)
{
    size_t power = GRANULE_BYTES;
    while (power < align && power <= SIZE_MAX / 2)
        power *= 2;
    return aligned_alloc_slow(power < align ? 0 : power, nbytes);
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
    return or_errno(shim_take_aligned(nbytes, os_page_bytes()));
}

MEM_API void *pvalloc(size_t nbytes)
{
    size_t page = os_page_bytes();
    size_t npages = ceil_div(nbytes, page);
    return or_errno(shim_take_aligned(npages > SIZE_MAX / page ? SIZE_MAX : npages * page, page));
}

__attribute__((noinline)) static size_t size_by_heap(void *address)
{
    struct object object;
    if (address == NULL)
        return 0;
    enum heap_result result = heap_find_exact(&shim_heap, address, &object);
    if (result == HEAP_OK)
        return object.size;
    refuse("malloc_usable_size", address, result);
    return 0;
}

MEM_API size_t malloc_usable_size(void *address)
{
    size_t nbytes;
    return tcache_size(&shim_thread, address, &nbytes) ? nbytes : size_by_heap(address);
}

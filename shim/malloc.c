/* SPDX-License-Identifier: MIT
 *
 * malloc.c - malloc and its relatives, on a heap of their own.
 *
 *     LD_PRELOAD=libmem-malloc.so program
 *
 * This file knows what the C functions promise, and nothing of how the heap keeps
 * its promises: what an address is, the heap judges, and here it is decided what
 * to do about it (report.h, options.h).
 *
 * How it starts. Nobody may be asked for memory, and anybody may ask first: the
 * dynamic linker does before any constructor has run. So the lock needs no code to
 * be ready, and a heap that has not been opened says so (HEAP_NO_REGION), which is
 * when it is opened. The library is linked with `-z initfirst`: its constructor is
 * the first of all, also before libc's, and gets the environment as an argument.
 * It has the fork handlers registered before anybody else's. That counts: they run
 * backwards before a fork, so that the heap is locked last, and handlers of others
 * may still allocate.
 *
 * There is no destructor: objects may be freed until the process is gone.
 *
 * Threads. Each has a cache of the heap (cache.h), from the first time that it asks for
 * memory until the destructor of a thread key gives it back. What the thread still asks for
 * after that is done under the lock, as is all that the cache cannot do.
 */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../src/heap.h"
#include "../src/os.h"
#include "options.h"
#include "report.h"
#include "sheet.h"
#include "shim.h"

static struct heap the_heap = {.lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP};

/* Guarded by the heap's lock until `options_are_read`; then they do not change. */
static struct options options;
static bool options_are_read, forks_are_guarded;

/* Where this process counts, and where its next child will; NULL: nowhere. Set while there
 * is one thread, at the start and in the child of a fork. */
static struct sheet *sheet;
static struct row *row, *row_of_child;

__thread struct thread shim_thread;

/* Without the key nobody would know that a thread ends: no caches before it is there. */
static pthread_key_t key;
static bool has_key;

/* Its thread may ask for more: destructors of other keys, and libc itself. */
static void end_thread(void *thread)
{
    heap_leave(&the_heap, thread);
}

/* --- starting ---------------------------------------------------------------- */

/* The parent goes on counting in its row while the child begins: so this is now. */
static void lock_for_fork(void)
{
    heap_lock(&the_heap);
    row_of_child = row == NULL ? NULL : sheet_row(sheet);
    if (row_of_child != NULL)
        row_fork(row_of_child, row);
}

static void unlock_in_parent(void)
{
    heap_unlock(&the_heap);
}

static void unlock_in_child(void)
{
    heap_forked_locked(&the_heap, &shim_thread);
    row = row_of_child;
    the_heap.counts = row == NULL ? NULL : &row->counts;
    if (row != NULL)
        row_begin(row);
    heap_unlock(&the_heap);
}

/* Twice the memory of the machine, since much may be reserved and never used; but
 * half of the address space is the program's. */
static size_t bytes_to_reserve(void)
{
    size_t ram = os_ram_bytes(), half = os_address_limit() / 2;
    size_t nbytes = ram != 0 ? 2 * ram : REGION_BYTES_MAX; /* halved until it is granted */
    nbytes = nbytes < half ? nbytes : half;
    return nbytes < REGION_BYTES_MAX ? nbytes : REGION_BYTES_MAX;
}

static void open_locked(void)
{
    enum { TOO_SMALL = 4096 };
    size_t wanted = options.region_bytes != 0 ? options.region_bytes : bytes_to_reserve();
    size_t nbytes = wanted;
    struct region region;
    while (!region_reserve(&region, nbytes)) {
        nbytes /= 2;
        if (nbytes < TOO_SMALL)
            return;
    }
    /* A system that refuses counts what is reserved. The stacks of threads and the
     * copies that fork makes need to be granted, too. */
    if (nbytes < wanted)
        region_halve(&region);
    heap_open_locked(&the_heap, region, NULL);
}

/* Who had the sheet made may have ended meanwhile: then it is not there. */
static void start_counting_locked(void)
{
    sheet = sheet_open(options.count);
    row = sheet == NULL ? NULL : sheet_row(sheet);
    if (row != NULL && heap_count_locked(&the_heap, &row->counts))
        row_begin(row);
    else
        row = NULL;
    if (sheet == NULL && errno != ENOENT) {
        struct line l = {0};
        line_text(&l, "libmem: LIBMEM: count ignored: that is no file that `mem run' has made");
        line_write(&l);
    }
}

/* The environment is NULL before libc knows it; then the constructor reads it. */
static void read_options_locked(char *const *environment)
{
    if (options_are_read || environment == NULL)
        return;
    options_are_read = true;
    options_read(&options, environment);
    if (options.count[0] != '\0')
        start_counting_locked();
    if (the_heap.chunks.region.base != NULL && options.region_bytes != 0) {
        struct line l = {0};
        line_text(&l, "libmem: LIBMEM: region ignored: memory was needed before it could be read");
        line_write(&l);
    }
}

static void start(char *const *environment)
{
    int number = errno;
    heap_lock(&the_heap);
    read_options_locked(environment);
    if (the_heap.chunks.region.base == NULL)
        open_locked();
    bool guard = !forks_are_guarded;
    forks_are_guarded = true;
    heap_unlock(&the_heap);
    /* This may allocate. A child that does not know which threads are gone, or a thread
     * whose end nobody hears of: then there are no caches. */
    if (guard && os_at_fork(lock_for_fork, unlock_in_parent, unlock_in_child) &&
        pthread_key_create(&key, end_thread) == 0)
        __atomic_store_n(&has_key, true, __ATOMIC_RELEASE);
    errno = number;
}

__attribute__((constructor)) static void on_load(int argc, char **argv, char **environment)
{
    start(environment);
    heap_lock(&the_heap);
    if (row != NULL)
        row_name(row, argc, argv);
    heap_unlock(&the_heap);
}

/* --- objects ------------------------------------------------------------------ */

/* Differences of pointers into larger objects would overflow. */
static bool is_too_large(size_t nbytes)
{
    return nbytes > PTRDIFF_MAX;
}

/* One more of what the heap does not see; `n` is in `row`. */
static void count(uint64_t *n)
{
    heap_lock(&the_heap);
    ++*n;
    heap_unlock(&the_heap);
}

static void *no_room(void)
{
    if (row != NULL)
        count(&row->counts.nfailed);
    return NULL;
}

static enum heap_result take(size_t nbytes, size_t align, void **object)
{
    return align <= GRANULE_BYTES ? heap_take(&the_heap, nbytes, FIT_ANY, object)
                                  : heap_take_aligned(&the_heap, nbytes, align, object);
}

static void *take_from_heap(size_t nbytes, size_t align)
{
    void *object;
    enum heap_result result = HEAP_NO_SPACE;
    if (!is_too_large(nbytes))
        result = take(nbytes, align, &object);
    if (result == HEAP_NO_REGION) {
        start(environ);
        result = take(nbytes, align, &object);
    }
    return result == HEAP_OK ? object : no_room();
}

/* False: nobody would know when this thread ends. */
static bool await_end(void)
{
    if (shim_thread.is_awaited || !__atomic_load_n(&has_key, __ATOMIC_ACQUIRE))
        return shim_thread.is_awaited;
    shim_thread.is_awaited = true;
    if (pthread_setspecific(key, &shim_thread) != 0) /* it may call calloc */
        end_thread(&shim_thread);
    return true;
}

/* Gives the thread a cache, if it can have one. */
static bool join(void)
{
    if (row != NULL || shim_thread.has_ended)
        return false;
    heap_join(&the_heap, &shim_thread);
    return thread_small(&shim_thread) > 0;
}

static bool has_cache(void)
{
    return thread_small(&shim_thread) > 0 || (await_end() && join());
}

/* By the cache if it can, else by the heap. */
static void *take_anyhow(size_t nbytes, size_t align)
{
    void *object;
    bool has = has_cache();
    unsigned sizeclass = has ? heap_sizeclass(&the_heap, nbytes, align) : NCLASSES;
    while (sizeclass < NCLASSES && has) {
        if (cache_take(&shim_thread, nbytes, sizeclass, &object))
            return object;
        has = heap_refill(&the_heap, &shim_thread, sizeclass);
    }
    return take_from_heap(nbytes, align);
}

__attribute__((noinline)) void *shim_take_slowly(size_t nbytes)
{
    return take_anyhow(nbytes, GRANULE_BYTES);
}

void *shim_take_aligned(size_t nbytes, size_t align)
{
    return align <= GRANULE_BYTES ? shim_take(nbytes) : take_anyhow(nbytes, align);
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
    if (row != NULL)
        count(&row->counts.nrefused[why == HEAP_FREE       ? REFUSED_FREE
                                    : why == HEAP_INSIDE   ? REFUSED_INSIDE
                                    : why == HEAP_NOT_OURS ? REFUSED_NOT_OURS
                                                           : REFUSED_NO_OBJECT]);
    if (options.onerror == ONERROR_IGNORE)
        return;
    if (why == HEAP_INSIDE)
        why = heap_find_exact(&the_heap, address, &there);
    report_refusal(call, address, why, &there);
    if (options.onerror == ONERROR_ABORT)
        abort();
}

/* Frees what the thread's cache does not see: what is no slot; what is wrong. */
void shim_free_slowly(const void *address, const char *call)
{
    if (address == NULL)
        return;
    enum cache_freed freed = cache_free_wide(&shim_thread, address);
    if (freed == CACHE_FREED_RECOUNT)
        shim_recount(address);
    if (freed != CACHE_NOT_FREED)
        return;
    /* For the next time; but libc calls free when a thread is all but gone, and will not
     * say that it ends, if it has never asked for memory. */
    if (shim_thread.is_awaited)
        (void)has_cache();
    enum heap_result result = heap_free_exact(&the_heap, address);
    if (result != HEAP_OK)
        refuse(call, address, result);
}

__attribute__((noinline)) void shim_recount(const void *address)
{
    heap_recount(&the_heap, address);
}

/* Makes an object all zero. What is large loses its pages instead of being written
 * to, so that what a program does not use of it costs no memory. Here belongs the
 * question whether the memory was ever handed out before: if not, it is zero. */
static void clear(unsigned char *object, size_t nbytes)
{
    enum { LARGE = 1 << 20 };
    size_t page = os_page_bytes();
    unsigned char *first = object + (-(uintptr_t)object & (page - 1));
    size_t whole = nbytes < LARGE ? 0 : (nbytes - (size_t)(first - object)) / page * page;
    if (whole == 0 || !os_give_back(first, whole)) {
        memset(object, 0, nbytes);
        return;
    }
    memset(object, 0, (size_t)(first - object));
    memset(first + whole, 0, nbytes - (size_t)(first - object) - whole);
}

static void *resize(const char *call, void *address, size_t nbytes)
{
    struct object old = {0};
    enum heap_result result = HEAP_OK;
    if (cache_resize(&shim_thread, address, nbytes))
        return address;
    if (!cache_size(&shim_thread, address, &old.size)) {
        result = heap_resize(&the_heap, address, nbytes);
        if (result == HEAP_OK)
            return address;
        if (result == HEAP_NO_SPACE)
            result = heap_find_exact(&the_heap, address, &old);
    }
    if (result != HEAP_OK) {
        refuse(call, address, result);
        errno = EINVAL;
        return NULL;
    }
    void *object = shim_take(nbytes);
    if (object == NULL) {
        if (nbytes <= old.size)
            return address; /* no room for less: it stays as large as it is */
        errno = ENOMEM;
        return NULL;
    }
    if (row != NULL)
        count(&row->counts.nmoved);
    memcpy(object, address, old.size < nbytes ? old.size : nbytes);
    shim_free(address, call);
    return object;
}

static void *allocate_again(const char *call, void *address, size_t nbytes)
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

/* --- the C functions ------------------------------------------------------------ */

/* Each apart, so that those before it need no frame. */
__attribute__((noinline)) static void *malloc_slowly(size_t nbytes)
{
    return or_errno(shim_take_slowly(nbytes));
}

__attribute__((noinline)) static void *malloc_larger(size_t nbytes)
{
    void *object;
    if (nbytes > CACHE_SMALL_MAX && nbytes <= SPAN_OBJECT_MAX &&
        cache_take_known(&shim_thread, nbytes, sizeclass_of(nbytes), &object))
        return object;
    return malloc_slowly(nbytes);
}

MEM_API void *malloc(size_t nbytes)
{
    void *object;
    return cache_take_small(&shim_thread, nbytes, &object) ? object : malloc_larger(nbytes);
}

MEM_API void *calloc(size_t nmembers, size_t nbytes)
{
    size_t all;
    if (__builtin_mul_overflow(nmembers, nbytes, &all))
        all = SIZE_MAX; /* too large */
    void *object = or_errno(shim_take(all));
    if (object != NULL)
        clear(object, all);
    return object;
}

MEM_API void *realloc(void *address, size_t nbytes)
{
    return allocate_again("realloc", address, nbytes);
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
    if (!is_power_of_two(align) || align % sizeof(void *) != 0)
        return EINVAL;
    void *object = shim_take_aligned(nbytes, align);
    if (object == NULL)
        return ENOMEM;
    *result = object;
    return 0;
}

MEM_API void *aligned_alloc(size_t align, size_t nbytes)
{
    if (is_power_of_two(align))
        return or_errno(shim_take_aligned(nbytes, align));
    errno = EINVAL;
    return NULL;
}

/* As in glibc, what is not a power of two is rounded up to one. */
MEM_API void *memalign(size_t align, size_t nbytes)
{
    size_t power = GRANULE_BYTES;
    while (power < align && power <= SIZE_MAX / 2)
        power *= 2;
    return aligned_alloc(power < align ? 0 : power, nbytes);
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

MEM_API size_t malloc_usable_size(void *address)
{
    struct object object;
    if (address == NULL)
        return 0;
    if (cache_size(&shim_thread, address, &object.size))
        return object.size;
    enum heap_result result = heap_find_exact(&the_heap, address, &object);
    if (result == HEAP_OK)
        return object.size;
    refuse("malloc_usable_size", address, result);
    return 0;
}

/* --- asking and setting ----------------------------------------------------------- */

MEM_API struct mallinfo2 mallinfo2(void)
{
    struct heap_sums sums = heap_sum(&the_heap);
    return (struct mallinfo2){.arena = sums.region_bytes,
                              .ordblks = sums.nfree,
                              .uordblks = sums.object_bytes,
                              .fordblks = sums.free_bytes};
}

static int as_int(size_t n)
{
    return n < INT_MAX ? (int)n : INT_MAX;
}

MEM_API struct mallinfo mallinfo(void)
{
    struct mallinfo2 m = mallinfo2();
    return (struct mallinfo){.arena = as_int(m.arena),
                             .ordblks = as_int(m.ordblks),
                             .uordblks = as_int(m.uordblks),
                             .fordblks = as_int(m.fordblks)};
}

static void write_sum(const char *what, size_t count, const char *counted, size_t nbytes)
{
    struct line l = {0};
    line_text(&l, what);
    line_decimal(&l, nbytes);
    line_text(&l, " bytes");
    if (counted != NULL) {
        line_text(&l, " in ");
        line_decimal(&l, count);
        line_text(&l, counted);
    }
    line_write(&l);
}

MEM_API void malloc_stats(void)
{
    struct heap_sums sums = heap_sum(&the_heap);
    write_sum("libmem: region  ", 0, NULL, sums.region_bytes);
    write_sum("libmem: in use  ", sums.nobjects, " objects", sums.object_bytes);
    write_sum("libmem: free    ", sums.nfree, " chunks", sums.free_bytes);
    write_sum("libmem: records ", 0, NULL, sums.ledger_bytes + sums.span_bytes);
}

MEM_API int malloc_info(int flags, FILE *stream)
{
    if (flags != 0)
        return EINVAL;
    struct heap_sums sums = heap_sum(&the_heap);
    fprintf(stream,
            "<malloc version=\"1\">\n"
            "<total type=\"used\" count=\"%zu\" size=\"%zu\"/>\n"
            "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
            "<system type=\"current\" size=\"%zu\"/>\n"
            "</malloc>\n",
            sums.nobjects, sums.object_bytes, sums.nfree, sums.free_bytes, sums.region_bytes);
    return 0;
}

MEM_API int malloc_trim(size_t pad)
{
    (void)pad;
    return heap_trim(&the_heap);
}

/* Each parameter of glibc's allocator is accepted, and none means anything here. */
MEM_API int mallopt(int parameter, int value)
{
    (void)parameter;
    (void)value;
    return 1;
}

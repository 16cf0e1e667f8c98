/* SPDX-License-Identifier: MIT */
#include "malloc/start.h"

#include <errno.h>
#include <pthread.h>

#include "base/os.h"
#include "malloc/report.h"
#include "malloc/shim.h"

struct heap shim_heap = {.lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP};
struct options shim_options;
struct row *shim_row;
__thread struct thread shim_thread;

static bool options_are_read, fork_handlers_are_registered;

/* Where processes count, and where the next child will. */
static struct counterfile *counterfile;
static struct row *row_of_child;

/* Without the key nobody would know that a thread ends: no caches before it is there. */
static pthread_key_t key;
static bool has_key;

/* --- threads ------------------------------------------------------------------- */

/* Its thread may ask for more: destructors of other keys, and libc itself. */
static void end_thread(void *thread)
{
    heap_leave(&shim_heap, thread);
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
    if (shim_row != NULL || shim_thread.has_ended)
        return false;
    heap_join(&shim_heap, &shim_thread);
    return thread_tcache(&shim_thread) != NULL;
}

bool shim_ensure_tcache(void)
{
    return thread_tcache(&shim_thread) != NULL || (await_end() && join());
}

/* --- starting ---------------------------------------------------------------- */

/* The parent goes on counting in its row while the child begins: so this is now. */
static void lock_for_fork(void)
{
    heap_lock(&shim_heap);
    row_of_child = shim_row == NULL ? NULL : counterfile_row(counterfile);
    if (row_of_child != NULL)
        row_fork(row_of_child, shim_row);
}

static void unlock_in_parent(void)
{
    heap_unlock(&shim_heap);
}

static void unlock_in_child(void)
{
    heap_forked_locked(&shim_heap, &shim_thread);
    shim_row = row_of_child;
    shim_heap.counters = shim_row == NULL ? NULL : &shim_row->counters;
    if (shim_row != NULL)
        row_begin(shim_row);
    heap_unlock(&shim_heap);
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
    size_t wanted = shim_options.region_bytes != 0 ? shim_options.region_bytes : bytes_to_reserve();
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
    heap_open_locked(&shim_heap, region, NULL);
}

/* Who had the sheet made may have ended meanwhile: then it is not there. */
static void start_counting_locked(void)
{
    counterfile = counterfile_open(shim_options.count);
    shim_row = counterfile == NULL ? NULL : counterfile_row(counterfile);
    if (shim_row != NULL && heap_count_locked(&shim_heap, &shim_row->counters))
        row_begin(shim_row);
    else
        shim_row = NULL;
    if (counterfile == NULL && errno != ENOENT) {
        bool may_not = errno == EACCES || errno == EPERM;
        struct line l = {0};
        line_text(&l, "libmem: LIBMEM: count ignored: ");
        line_text(&l, may_not ? "its file is another user's"
                              : "that is no file that `mem run' has made");
        line_write(&l);
    }
}

/* libmem.so's, if the program has it: then mem_find and others tell of this heap, too. That is
 * all that the two know of each other. */
__attribute__((weak, visibility("default"))) void mem_heap_also(struct heap *heap, size_t layout);

static void tell_libmem(void)
{
    if (mem_heap_also != NULL && shim_heap.chunks.region.base != NULL)
        mem_heap_also(&shim_heap, HEAP_LAYOUT);
}

/* The environment is NULL before libc knows it; then the constructor reads it. */
static void read_options_locked(char *const *environment)
{
    if (options_are_read || environment == NULL)
        return;
    options_are_read = true;
    options_read(&shim_options, environment);
    if (shim_options.count[0] != '\0')
        start_counting_locked();
    if (shim_heap.chunks.region.base != NULL && shim_options.region_bytes != 0) {
        struct line l = {0};
        line_text(&l, "libmem: LIBMEM: region ignored: memory was needed before it could be read");
        line_write(&l);
    }
}

void shim_start(char *const *environment)
{
    int number = errno;
    heap_lock(&shim_heap);
    read_options_locked(environment);
    if (shim_heap.chunks.region.base == NULL)
        open_locked();
    bool first = !fork_handlers_are_registered;
    fork_handlers_are_registered = true;
    heap_unlock(&shim_heap);
    /* This may allocate. A child that does not know which threads are gone, or a thread
     * whose end nobody hears of: then there are no caches. */
    if (first && os_at_fork(lock_for_fork, unlock_in_parent, unlock_in_child) &&
        pthread_key_create(&key, end_thread) == 0)
        __atomic_store_n(&has_key, true, __ATOMIC_RELEASE);
    if (first)
        tell_libmem();
    errno = number;
}

__attribute__((constructor)) static void on_load(int argc, char **argv, char **environment)
{
    shim_start(environment);
    heap_lock(&shim_heap);
    if (shim_row != NULL)
        row_name(shim_row, argc, argv);
    heap_unlock(&shim_heap);
}

/* SPDX-License-Identifier: MIT
 *
 * start.c - opens the heap of the process, opens and closes thread caches, and keeps the heap whole
 * across fork: see start.h.
 */
#include "malloc/start.h"

#include <errno.h>
#include <pthread.h>

#include "base/describe.h"
#include "base/os.h"
#include "malloc/copy.h"
#include "malloc/hard.h"
#include "malloc/module.h"
#include "malloc/report.h"
#include "malloc/shim.h"

static struct clean clean; /* for calloc */
DESCRIBED_VARIABLE struct heap shim_heap = {.chunks.clean = &clean};
struct options shim_options;
struct row *shim_row;
DESCRIBED_VARIABLE struct history *shim_history;
THREAD_LOCAL struct thread shim_thread;

DESCRIBE(DESCRIBED_MALLOC, HEAP_LAYOUT, shim_heap);
DESCRIBE(DESCRIBED_HISTORY, HISTORY_LAYOUT, shim_history);

static bool options_are_read, fork_handlers_are_registered;

/* The counter file, and the row in it that the next child of fork will have. */
static struct counterfile *counterfile;
static struct row *row_of_child;

/* The destructor of this key tells us that a thread ends. Until the key exists, no thread gets a
 * cache. */
static pthread_key_t key;
static bool has_key;

/* --- threads ------------------------------------------------------------------- */

/* Closes the cache of a thread that ends. The thread may still allocate afterwards: destructors of
 * other keys do, and libc itself. */
static void end_thread(void *thread)
{
    assert(((struct thread *)thread)->is_awaited);
    heap_leave(&shim_heap, thread);
}

/* Sets the key for the calling thread, so that end_thread is called when it ends. Returns false if
 * the key does not exist yet. */
static bool await_end(void)
{
    if (shim_thread.is_awaited || !__atomic_load_n(&has_key, __ATOMIC_ACQUIRE))
        return shim_thread.is_awaited;
    shim_thread.is_awaited = true;
    if (pthread_setspecific(key, &shim_thread) != 0) /* it may call calloc */
        end_thread(&shim_thread);
    return true;
}

/* Opens a cache for the calling thread, if it may have one. A process that counts, keeps a history,
 * is hardened or runs under memcheck has none, so that each call passes the lock. */
static bool open_tcache(void)
{
    if (shim_row != NULL || shim_history != NULL || hard_measures != 0 || memcheck_is_there ||
        shim_thread.has_ended)
        return false;
    heap_join(&shim_heap, &shim_thread);
    return thread_tcache(&shim_thread) != NULL;
}

bool shim_ensure_tcache(void)
{
    return thread_tcache(&shim_thread) != NULL || (await_end() && open_tcache());
}

/* --- starting ---------------------------------------------------------------- */

/* If the only thread of the process forks while the lock is taken, it does so in a signal handler
 * that has interrupted its own call. Both processes go on with that call when the handler returns,
 * and until then nothing here may be touched: the child counts in the row of its parent, too. */
static bool is_in_a_call;

/* The child's row is prepared here, under the lock: after the fork the parent goes on counting in
 * its own row, and the child must not copy from it. */
static void lock_for_fork(void)
{
    is_in_a_call = SINGLE_THREADED && lock_is_taken(&shim_heap.lock);
    if (is_in_a_call)
        return;
    if (shim_history != NULL)
        module_stop();
    heap_lock(&shim_heap);
    row_of_child = shim_row == NULL ? NULL : counterfile_row(counterfile);
    if (row_of_child != NULL)
        row_fork(row_of_child, shim_row);
}

static void unlock_in_parent(void)
{
    if (is_in_a_call)
        return;
    heap_unlock(&shim_heap);
    if (shim_history != NULL)
        module_go_on();
}

/* The calling thread is the only one in the child: the caches of all others are closed. */
static void unlock_in_child(void)
{
    if (is_in_a_call)
        return;
    heap_forked_locked(&shim_heap, &shim_thread);
    assert(shim_row == NULL ? row_of_child == NULL : row_of_child != shim_row);
    shim_row = row_of_child;
    shim_heap.counters = shim_row == NULL ? NULL : &shim_row->counters;
    if (shim_row != NULL)
        row_begin(shim_row);
    if (shim_history != NULL)
        history_forked();
    if (hard_measures != 0)
        hard_forked();
    heap_unlock(&shim_heap);
    if (shim_history != NULL)
        module_go_on();
}

/* Returns how much address space the heap can have where that is limited: what is left of it,
 * except a sixteenth, or 72 MiB if that is more, which is room for nine threads with the usual
 * stack; but no more than half is left to stacks and mappings. */
size_t shim_bytes_within(size_t limit, size_t taken)
{
    const size_t part = 16, least_spared = (size_t)72 << 20;
    size_t left = taken < limit ? limit - taken : taken == SIZE_MAX ? limit / 2 : 0;
    return left - smaller_of(larger_of(left / part, least_spared), left / 2);
}

/* Twice the memory of the machine, since programs reserve much that they never use; or what LIBMEM
 * says; but no more than the process may have. */
static size_t bytes_to_reserve(void)
{
    size_t ram = os_ram_bytes(), limit = os_address_limit();
    size_t nbytes = ram != 0 ? 2 * ram : REGION_BYTES_MAX; /* halved until it is granted */
    size_t most = limit == SIZE_MAX ? SIZE_MAX : shim_bytes_within(limit, os_address_bytes());
    if (shim_options.region_bytes != 0)
        nbytes = shim_options.region_bytes;
    return smaller_of(smaller_of(nbytes, most), REGION_BYTES_MAX);
}

/* Says once why there is no heap. */
static void report_no_heap(enum region_result why)
{
    static bool is_reported;
    struct line l = {0};
    if (is_reported)
        return;
    is_reported = true;
    line_text(&l, "libmem: no memory for a heap: ");
    line_text(&l, why == REGION_NO_MEMORY ? "the limit on data (ulimit -d, RLIMIT_DATA) leaves none"
                  : os_address_limit() != SIZE_MAX
                      ? "the limit on address space (ulimit -v, RLIMIT_AS) leaves none"
                      : "the system refuses to reserve any address space");
    line_write(&l);
}

/* Reserves the region and opens the heap in it; or leaves it closed, and then each call that
 * allocates asks again. Returns why. The caller holds the heap's lock. */
static enum region_result open_locked(void)
{
    enum { TOO_SMALL = 4096 };
    assert(shim_heap.chunks.region.base == NULL);
    size_t nbytes = bytes_to_reserve();
    struct region region;
    enum region_result result = REGION_NO_ADDRESSES;
    for (; nbytes >= TOO_SMALL && result == REGION_NO_ADDRESSES; nbytes /= 2)
        result = region_reserve(&region, nbytes);
    if (result == REGION_OK) {
        heap_open_locked(&shim_heap, region, NULL);
        shim_heap.gives_whole_pages = true;
        shim_heap.wants_huge_pages = true;
    }
    if (result == REGION_OK && hard_measures != 0)
        hard_heap_opened();
    if (result == REGION_OK && (shim_history != NULL || shim_options.fail_at != 0))
        (void)heap_close_tcaches_locked(&shim_heap); /* no thread has one yet */
    return result;
}

/* Takes a row of the counter file and counts there from now on. If the file does not exist, the
 * tool that made it has ended, and nothing is reported. The caller holds the heap's lock. */
static void start_counting_locked(void)
{
    assert(shim_options.count[0] != '\0' && shim_row == NULL);
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

/* Begins the history. The caller holds the heap's lock. */
static void start_history_locked(void)
{
    struct history *h = history_open(shim_options.nevents);
    if (h != NULL && heap_close_tcaches_locked(&shim_heap)) {
        shim_history = h;
        return;
    }
    struct line l = {0};
    line_text(&l, "libmem: LIBMEM: history ignored: ");
    line_text(&l, h == NULL ? "the system refuses the memory; give a smaller history=N"
                            : "the system has no membarrier, and a thread has a cache already");
    line_write(&l);
}

/* Puts measures into force. The caller holds the heap's lock. */
static void start_hard_locked(void)
{
    const char *why = hard_open(&shim_options);
    if (why == NULL)
        return;
    struct line l = {0};
    line_text(&l, "libmem: LIBMEM: hard ignored: ");
    line_text(&l, why);
    line_write(&l);
}

/* Lets no allocation fail: a thread has a cache, which counts none. */
static void ignore_fail(void)
{
    struct line l = {0};
    line_text(&l, "libmem: LIBMEM: fail ignored: the system has no membarrier, and a thread has a "
                  "cache already");
    line_write(&l);
    shim_options.fail_at = 0;
}

/* A function of libmem.so, or NULL if the program does not have that library: with it, mem_find and
 * the other calls of mem_heap.h know this heap, too. The two libraries share nothing else. */
__attribute__((weak, visibility("default"))) void mem_heap_also(struct heap *heap, size_t layout);

static void tell_libmem(void)
{
    if (mem_heap_also != NULL && shim_heap.chunks.region.base != NULL)
        mem_heap_also(&shim_heap, HEAP_LAYOUT);
}

/* Reads LIBMEM once. `environment` is NULL if libc does not know it yet: then the constructor calls
 * again. A program with rights beyond its user's takes no options. The caller holds the heap's
 * lock. */
static void read_options_locked(char *const *environment, bool is_privileged)
{
    if (options_are_read || environment == NULL)
        return;
    options_are_read = true;
    if (!is_privileged)
        options_read(&shim_options, environment);
    if (shim_options.count[0] != '\0')
        start_counting_locked();
    if (shim_options.by_frame_pointers)
        stack_use_frame_pointers();
    if (shim_options.nevents != 0)
        start_history_locked();
    if ((shim_options.measures & MEASURES_HARD) != 0)
        start_hard_locked();
    if (shim_options.fail_at != 0 && !heap_close_tcaches_locked(&shim_heap))
        ignore_fail();
    if (shim_heap.chunks.region.base != NULL && shim_options.region_bytes != 0) {
        struct line l = {0};
        line_text(&l, "libmem: LIBMEM: region ignored: memory was needed before it could be read");
        line_write(&l);
    }
}

void shim_start(char *const *environment)
{
    int number = errno;
    memcheck_ask();
    /* These ask libc, of whose functions none that a program may replace is called under the lock
     * [M8]. The first call makes each later one answer by itself. */
    (void)os_page_bytes();
    bool is_privileged = os_is_privileged();
    heap_lock(&shim_heap);
    read_options_locked(environment, is_privileged);
    enum region_result opened = REGION_OK;
    if (shim_heap.chunks.region.base == NULL)
        opened = open_locked();
    bool first = !fork_handlers_are_registered;
    fork_handlers_are_registered = true;
    heap_unlock(&shim_heap);
    if (opened != REGION_OK)
        report_no_heap(opened);
    /* These calls may allocate, so the lock is free. If either fails, no thread ever gets a cache:
     * a child could not tell which threads are gone, or a thread's end would go unnoticed. */
    if (first && os_at_fork(lock_for_fork, unlock_in_parent, unlock_in_child) &&
        pthread_key_create(&key, end_thread) == 0)
        __atomic_store_n(&has_key, true, __ATOMIC_RELEASE);
    if (first)
        tell_libmem();
    errno = number;
}

/* The first constructor of the process [start.h]. Names the row after the program. */
__attribute__((constructor)) static void on_load(int argc, char **argv, char **environment)
{
    stack_ends_at(argv); /* the kernel put the arguments above all frames */
    shim_start(environment);
    if ((shim_options.measures & MEASURE_COPY) != 0)
        copy_open();
    heap_lock(&shim_heap);
    if (shim_row != NULL)
        row_name(shim_row, argc, argv);
    heap_unlock(&shim_heap);
}

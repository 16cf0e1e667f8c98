/* SPDX-License-Identifier: MIT
 *
 * h13_guard_pages.c - H13: checks heaps with guard pages.
 *
 * Writes that run out of the objects in either direction, or into the heap from outside, fault
 * before they reach the heap's own data. The guard page moves with the records, whether or not
 * the system refuses, and while other threads look up addresses.
 */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mem_heap.h"

enum { MIB = 1 << 20, NOBJECTS = 10000 };
static uint64_t dice = 5;
static size_t page;

#define assert_ok(call) assert_int_equal((call), MEM_OK)

/* The linker sends the library's calls of os_forbid and os_allow here (--wrap in test.mk): a system
 * call of its own cannot be replaced by name. */
bool __real_os_forbid(void *address, size_t nbytes);
bool __real_os_allow(void *address, size_t nbytes);
bool __wrap_os_forbid(void *address, size_t nbytes);
bool __wrap_os_allow(void *address, size_t nbytes);

static int npassed =
    -1; /* This many calls are passed on before all are refused; with -1, all are. */
static uint32_t percent; /* The percentage of calls that are refused at random. */
static int nprotected, nrefused;

static bool is_refused(void)
{
    nprotected++;
    if (npassed == 0 || rnd(&dice, 100) < percent) {
        nrefused++;
        return true;
    }
    npassed -= npassed > 0;
    return false;
}

bool __wrap_os_forbid(void *address, size_t nbytes)
{
    return !is_refused() && __real_os_forbid(address, nbytes);
}

bool __wrap_os_allow(void *address, size_t nbytes)
{
    return !is_refused() && __real_os_allow(address, nbytes);
}

static mem_heap *guarded(size_t nbytes, unsigned flags)
{
    struct mem_options options = {.flags = flags | MEM_GUARD_PAGES};
    return mem_heap_create(nbytes, &options);
}

static struct mem_statistics stats_of(mem_heap *heap)
{
    struct mem_statistics s = {0};
    assert_ok(mem_stats(heap, &s));
    assert_int_equal(s.region_bytes,
                     s.live_bytes + s.slack_bytes + s.free_bytes + s.metadata_bytes);
    return s;
}

/* --- faults ---------------------------------------------------------------------------- */

static sigjmp_buf back;
static unsigned char *volatile fault;

static void note_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    fault = info->si_addr;
    siglongjmp(back, 1);
}

/* Writes byte after byte, no further than `end`. Returns where the write faulted, or NULL. */
__attribute__((noinline)) static unsigned char *run(unsigned char *from, const unsigned char *end)
{
    const struct sigaction action = {.sa_sigaction = note_fault, .sa_flags = SA_SIGINFO};
    struct sigaction was; /* The action that cmocka has set. */
    volatile unsigned char *volatile p = from;
    fault = NULL;
    sigaction(SIGSEGV, &action, &was);
    if (sigsetjmp(back, 1) == 0)
        for (ptrdiff_t step = from < end ? 1 : -1; p != end; p += step)
            *p = 0x5A;
    sigaction(SIGSEGV, &was, NULL);
    return fault;
}

static int see_live(const void *address)
{
    struct mem_piece found;
    return mem_find(address, &found) == MEM_OK && found.live;
}

static unsigned char *object[NOBJECTS];
static size_t size_of[NOBJECTS];
static int nobjects;

static void fill(mem_heap *heap, int n, uint32_t size_max)
{
    for (nobjects = 0; nobjects < n; nobjects++) {
        size_of[nobjects] = 1 + rnd(&dice, size_max);
        for (int tries = 0; tries == 0 || (tries < 20 && percent > 0 && object[nobjects] == NULL);)
            object[nobjects] = mem_alloc(heap, size_of[nobjects]), tries++;
        if (object[nobjects] == NULL)
            break;
        memset(object[nobjects], nobjects % 251, size_of[nobjects]);
    }
}

static bool is_whole(int i, size_t nbytes)
{
    while (nbytes > 0 && object[i][nbytes - 1] == i % 251)
        nbytes--;
    return nbytes == 0;
}

static void assert_filled(void)
{
    for (int i = 0; i < nobjects; i++)
        assert_true(is_whole(i, size_of[i]));
}

static unsigned char *highest(void)
{
    int high = 0;
    for (int i = 1; i < nobjects; i++)
        high = object[i] > object[high] ? i : high;
    return object[high] + size_of[high];
}

static unsigned char *lowest(void)
{
    int low = 0;
    for (int i = 1; i < nobjects; i++)
        low = object[i] < object[low] ? i : low;
    return object[low];
}

/* Checks that writes that run out of the heap fault. The data that they would reach must be
 * unchanged afterwards. */
static void assert_runs_end(mem_heap *heap)
{
    unsigned char *all = (unsigned char *)heap, header[512];
    size_t nbytes = stats_of(heap).region_bytes;
    memcpy(header, all, sizeof header);
    unsigned char *stopped = run(highest(), all + nbytes + page);
    /* The guard page stopped it, in front of the records. */
    assert_true(stopped > all && stopped < all + nbytes - page);
    assert_int_equal((uintptr_t)stopped % page, 0);
    assert_ok(mem_check(heap, NULL));
    assert_filled();
    stopped = run(lowest() - 1, all - page);
    assert_ptr_equal(stopped, all + 2 * page - 1);
    stopped = run(all - page, all + page);
    assert_ptr_equal(stopped, all - page);
    stopped = run(all + nbytes + page - 1, all + nbytes - page);
    assert_ptr_equal(stopped, all + nbytes + page - 1);
    assert_memory_equal(header, all, sizeof header);
    assert_ok(mem_check(heap, NULL));
}

static void test_what_runs_out_is_a_fault(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 5000, 100 << 10, MIB + (64 << 10)};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int n = 1; n <= NOBJECTS; n *= 5) {
            mem_heap *heap = guarded(sizes[i], n % 2 ? MEM_SINGLE_THREADED : 0);
            fill(heap, n, 1 + (uint32_t)(sizes[i] / (size_t)n / 2));
            assert_true(nobjects > 0);
            assert_runs_end(heap);
            assert_ok(mem_heap_destroy(heap));
        }
}

/* A program that does not catch the fault dies. */
static void test_the_program_dies(void **state)
{
    (void)state;
    int status;
    mem_heap *heap = guarded(10000, 0);
    char *p = mem_alloc(heap, 100);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        for (volatile char *to = p; to < p + 4 * page; to++)
            *to = 0; /* memset would be stopped by AddressSanitizer before the fault. */
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_ok(mem_check(heap, NULL));
    assert_ok(mem_heap_destroy(heap));
}

/* --- room in the heap -------------------------------------------------------------------- */

/* A heap that is new, or was emptied, can hold one object of all bytes that were asked for. */
static void assert_whole(mem_heap *heap, size_t nbytes)
{
    assert_int_equal(stats_of(heap).largest_free, nbytes);
    assert_int_equal(stats_of(heap).free_chunks, 1);
    assert_null(mem_alloc(heap, nbytes + 1));
    unsigned char *p = mem_alloc(heap, nbytes);
    assert_non_null(p);
    p[0] = p[nbytes - 1] = 1;
    assert_int_equal(stats_of(heap).free_bytes, 0);
    assert_int_equal(stats_of(heap).metadata_bytes, 4 * page);
    assert_ptr_equal(run(p + nbytes, p + nbytes + 4096), p + nbytes);
    assert_ok(mem_free_any(heap, p + nbytes - 1));
    assert_ok(mem_check(heap, NULL));
}

static void test_full_and_empty(void **state)
{
    (void)state;
    for (size_t nbytes = 1; nbytes <= 2 * MIB; nbytes *= 5) {
        size_t rounded = (nbytes + page - 1) / page * page;
        mem_heap *heap = guarded(nbytes, 0);
        assert_whole(heap, rounded);
        for (int round = 0; round < 3; round++) {
            fill(heap, NOBJECTS, round == 1 ? 16 : 200);
            assert_ok(mem_check(heap, NULL));
            assert_runs_end(heap);
            for (int i = 0; i < nobjects; i++)
                assert_ok(mem_free(heap, object[i]));
            assert_ok(mem_check(heap, NULL));
            assert_whole(heap, rounded);
        }
        assert_ok(mem_heap_destroy(heap));
    }
    assert_true(nprotected > 100);
}

/* An object that grows gets the pages behind it that records have left. */
static void test_an_object_that_grows(void **state)
{
    (void)state;
    mem_heap *heap = guarded(MIB, 0);
    unsigned char *first = mem_alloc(heap, 16);
    fill(heap, NOBJECTS, 16); /* the records have driven the guard down */
    for (int i = 0; i < nobjects; i++)
        assert_ok(mem_free(heap, object[i]));
    size_t nbytes = stats_of(heap).free_bytes;
    assert_true(nbytes > MIB / 2);
    assert_ptr_equal(mem_resize(heap, first, nbytes), first);
    memset(first, 1, nbytes);
    assert_ok(mem_check(heap, NULL));
    assert_ok(mem_heap_destroy(heap));
}

static void test_sizes_and_options(void **state)
{
    (void)state;
    static _Alignas(16) char buffer[4096];
    struct mem_options options = {.flags = MEM_GUARD_PAGES};
    assert_null(mem_heap_in(buffer, sizeof buffer, &options));
    assert_int_equal(mem_last_error(), MEM_BAD_OPTIONS);
    assert_null(mem_heap_create(0, &options));
    assert_int_equal(mem_last_error(), MEM_BAD_SIZE);
    for (size_t less = 0; less < 6 * page; less += page / 2) {
        assert_null(mem_heap_create(MEM_PART_BYTES - less, &options));
        assert_int_equal(mem_last_error(), MEM_TOO_LARGE);
    }
    mem_heap *heap = mem_heap_create(MEM_PART_BYTES - 6 * page, &options);
    if (heap == NULL) {
        /* The machine does not grant so large a heap. */
        assert_int_equal(mem_last_error(), MEM_NO_MEMORY);
        return;
    }
    assert_int_equal(mem_heap_detach(heap), MEM_BAD_BUFFER);
    assert_whole(heap, MEM_PART_BYTES - 6 * page);
    assert_ok(mem_heap_destroy(heap));
}

/* --- any calls --------------------------------------------------------------------------- */

static void change(mem_heap *heap, uint32_t size_max)
{
    int i = nobjects > 0 ? (int)rnd(&dice, (uint32_t)nobjects) : 0;
    size_t size = 1 + rnd(&dice, size_max), old = nobjects > 0 ? size_of[i] : 0;
    unsigned char *p = NULL;
    switch (rnd(&dice, 4)) {
    case 0:
        p = nobjects > 0 ? mem_resize(heap, object[i], size) : NULL;
        if (p == NULL)
            break;
        object[i] = p;
        assert_true(is_whole(i, old < size ? old : size));
        size_of[i] = size;
        memset(p, i % 251, size);
        break;
    case 1:
        p = mem_aligned(heap, size, (size_t)1 << rnd(&dice, 14));
        break;
    default:
        p = mem_alloc_fit(heap, size, 1, (enum mem_style)rnd(&dice, 4));
    }
    if (p == NULL)
        assert_true(nobjects == 0 || mem_last_error() == MEM_NO_SPACE ||
                    mem_last_error() == MEM_TOO_LARGE);
    if (p == NULL || (nobjects > 0 && p == object[i]) || nobjects == NOBJECTS)
        return;
    memset(p, nobjects % 251, size);
    object[nobjects] = p;
    size_of[nobjects++] = size;
}

static void drop(mem_heap *heap, int i)
{
    assert_true(is_whole(i, size_of[i]));
    assert_ok(mem_free(heap, object[i]));
    if (i == --nobjects)
        return;
    object[i] = object[nobjects];
    size_of[i] = size_of[nobjects];
    memset(object[i], i % 251, size_of[i]);
}

/* Fills and empties the heap repeatedly, so that the guard page moves all the time. */
static void any_calls(size_t nbytes, int ncalls, uint32_t refused)
{
    mem_heap *heap = guarded(nbytes, 0);
    nobjects = 0;
    percent = refused;
    for (int k = 0; k < ncalls; k++) {
        if (nobjects > 0 && rnd(&dice, 100) < (k / 1000 % 3 ? 25u : 80u))
            drop(heap, (int)rnd(&dice, (uint32_t)nobjects));
        else
            change(heap, (uint32_t)nbytes >> (k / 4000 % 2 ? 12 : rnd(&dice, 12)));
        if (k % 1000 == 0)
            assert_ok(mem_check(heap, NULL));
        if (k % 1000 == 0 && nobjects > 0)
            assert_runs_end(heap);
    }
    percent = 0;
    while (nobjects > 0)
        drop(heap, nobjects - 1);
    assert_ok(mem_check(heap, NULL));
    assert_whole(heap, (nbytes + page - 1) / page * page);
    assert_ok(mem_heap_destroy(heap));
}

static void test_any_calls(void **state)
{
    (void)state;
    for (size_t nbytes = 4096; nbytes <= 2 * MIB; nbytes *= 8)
        any_calls(nbytes, 5000, 0);
}

static void test_a_refused_heap(void **state)
{
    (void)state;
    for (int n = 0; n < 4; n++) {
        npassed = n;
        assert_null(guarded(4096, 0));
        assert_int_equal(mem_last_error(), MEM_NO_MEMORY);
    }
    npassed = -1;
}

/* When the system refuses to move the guard page, only that one call fails; when it permits
 * again, everything is as before. */
static void test_refused_moves(void **state)
{
    (void)state;
    const size_t nbytes = 32 * page;
    mem_heap *heap = guarded(nbytes, 0);
    int before = nrefused, nheld_up = 0;
    for (int round = 0; round < 40; round++) {
        percent = 1 + rnd(&dice, 80);
        fill(heap, NOBJECTS, 20);
        assert_ok(mem_check(heap, NULL));
        assert_runs_end(heap);
        while (nobjects > 0)
            drop(heap, (int)rnd(&dice, (uint32_t)nobjects));
        unsigned char *all = mem_alloc(heap, nbytes);
        nheld_up += all == NULL;
        assert_int_equal(all == NULL ? mem_last_error() : MEM_NO_SPACE, MEM_NO_SPACE);
        assert_ok(mem_free(heap, all));
        assert_ok(mem_check(heap, NULL));
        percent = round % 2 ? 0 : percent;
        if (percent == 0)
            assert_whole(heap, nbytes);
    }
    percent = 0;
    assert_true(nrefused > before + 20 && nheld_up > 0);
    assert_ok(mem_heap_destroy(heap));
    for (size_t n = 4096; n <= 2 * MIB; n *= 8)
        any_calls(n, 3000, 50);
}

/* --- lookups by other threads ---------------------------------------------------------------- */

static mem_heap *watched;
static unsigned char *watched_from;
static size_t watched_bytes;
static bool done;
static int nsaw; /* The number of threads that have seen a live object, of the two. */

static void *watch(void *arg)
{
    uint64_t mine = (uintptr_t)arg;
    struct mem_piece found;
    unsigned long nlive = 0;
    while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
        unsigned char *p = watched_from + rnd(&mine, (uint32_t)watched_bytes);
        enum mem_result result =
            rnd(&mine, 2) ? mem_find(p, &found) : mem_find_in(watched, p, &found);
        assert_true(result == MEM_OK || result == MEM_NO_OBJECT || result == MEM_BUSY);
        bool live = result == MEM_OK && found.live;
        if (live && nlive++ == 0)
            __atomic_fetch_add(&nsaw, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The records grow and shrink, and the guard page moves with them. */
static void test_looks_while_it_moves(void **state)
{
    (void)state;
    for (size_t nbytes = 32 << 10; nbytes <= 2 * MIB; nbytes *= 64) {
        double end = now() + 0.5;
        pthread_t thread[2];
        watched = guarded(nbytes, 0);
        watched_bytes = stats_of(watched).region_bytes;
        watched_from = (unsigned char *)watched;
        done = false;
        nsaw = 0;
        for (uintptr_t i = 0; i < 2; i++)
            pthread_create(&thread[i], NULL, watch, (void *)(i + 1));
        while (now() < end || __atomic_load_n(&nsaw, __ATOMIC_RELAXED) < 2) {
            fill(watched, NOBJECTS, 20);
            for (int i = 0; i < nobjects; i++)
                assert_ok(mem_free(watched, object[i]));
            void *all = mem_alloc(watched, nbytes);
            assert_non_null(all);
            assert_true(see_live(all));
            assert_ok(mem_free(watched, all));
        }
        __atomic_store_n(&done, true, __ATOMIC_RELAXED);
        for (int i = 0; i < 2; i++)
            pthread_join(thread[i], NULL);
        assert_ok(mem_heap_destroy(watched));
    }
}

/* --- damage -------------------------------------------------------------------------------- */

/* A flipped bit of the header is found or has no meaning. No lookup may read in a guard page. */
static void test_flipped_headers(void **state)
{
    (void)state;
    enum { HEADER = 72, STORED = 56, COUNTS = 20, GUARD = 40, WALKER = 8 };
    struct mem_piece found;
    mem_heap *heap = guarded(64 << 10, MEM_SINGLE_THREADED);
    fill(heap, 1000, 20);
    unsigned char *all = (unsigned char *)heap;
    int nfound = 0;
    for (int bit = 0; bit < (HEADER + STORED) * 8; bit++) {
        all[bit / 8] ^= (unsigned char)(1u << bit % 8);
        enum mem_result result = mem_check(heap, NULL);
        nfound += result != MEM_OK;
        enum mem_result asked = MEM_OK;
        for (size_t i = 0; i < 2000 && asked != MEM_BUSY; i++)
            asked = mem_find(all + i * 37 % (70 << 10), &found);
        all[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    /* The exceptions are process, the walker, and `changes`, of which a bit is seen. */
    assert_true(nfound >= (HEADER + STORED - 7 - WALKER) * 8);
    for (int n = 0; n < 20000; n++) { /* Several bytes differ at once. */
        unsigned char was[HEADER + STORED];
        memcpy(was, all, sizeof was);
        for (int k = 0; k < 4; k++)
            all[HEADER + rnd(&dice, n % 2 ? STORED : COUNTS)] ^= (unsigned char)rnd(&dice, 256);
        all[HEADER + GUARD + rnd(&dice, 2)] ^= (unsigned char)rnd(&dice, n % 2 ? 1 : 256);
        for (size_t i = 0; i < 20; i++)
            (void)mem_find(all + rnd(&dice, 70 << 10), &found);
        memcpy(all, was, sizeof was);
    }
    assert_ok(mem_check(heap, NULL));
    assert_ok(mem_heap_destroy(heap));
}

static void test_children(void **state)
{
    (void)state;
    mem_heap *heap = guarded(256 << 10, 0);
    fill(heap, 500, 100);
    pid_t child = fork();
    int status;
    if (child == 0) {
        assert_filled();
        assert_runs_end(heap);
        while (nobjects > 0)
            drop(heap, nobjects - 1);
        assert_whole(heap, 256 << 10);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_filled();
    assert_runs_end(heap);
    assert_ok(mem_heap_destroy(heap));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_runs_out_is_a_fault),
        cmocka_unit_test(test_the_program_dies),
        cmocka_unit_test(test_full_and_empty),
        cmocka_unit_test(test_an_object_that_grows),
        cmocka_unit_test(test_sizes_and_options),
        cmocka_unit_test(test_any_calls),
        cmocka_unit_test(test_a_refused_heap),
        cmocka_unit_test(test_refused_moves),
        cmocka_unit_test(test_looks_while_it_moves),
        cmocka_unit_test(test_flipped_headers),
        cmocka_unit_test(test_children),
    };
    page = (size_t)sysconf(_SC_PAGESIZE);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

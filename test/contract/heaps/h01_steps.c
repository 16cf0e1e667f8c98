/* SPDX-License-Identifier: MIT
 *
 * h01_steps.c - H1: checks that a large heap is opened in steps, as it needs memory: what can be
 * written to is little more than what is used, and limits, core files and locked memory see only
 * that. Where the system opens none, the call has no space and nothing has changed.
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem_heap.h"
#include "status.h"

#define MIB    ((size_t)1 << 20)
#define GIB    ((size_t)1 << 30)
#define LARGE  (16 * GIB)
#define PARTED (200 * GIB) /* It has four parts. */

#define assert_ok(call) assert_int_equal((call), MEM_OK)

/* --- what the system knows ---------------------------------------------------------- */

/* Returns how many bytes of [start, start + nbytes) can be written to. */
static size_t writable_bytes(const void *start, size_t nbytes)
{
    char line[512], how[8];
    uintptr_t begin = (uintptr_t)start, end = begin + nbytes, from, to;
    size_t sum = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, how) != 3 || how[1] != 'w')
            continue;
        from = from > begin ? from : begin;
        to = to < end ? to : end;
        sum += from < to ? to - from : 0;
    }
    fclose(file);
    return sum;
}

/* The soft limit can be raised again. Nothing but the heaps may allocate while it is low. */
static rlim_t limit_data(rlim_t nbytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_DATA, &limit);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = nbytes;
    setrlimit(RLIMIT_DATA, &limit);
    return before;
}

/* Lets the process have so much data and no more. */
static rlim_t leave_data(size_t nbytes)
{
    return limit_data(status_kib("VmData") * 1024 + nbytes);
}

/* Emulators and sanitizers have mappings of their own, or keep limits to themselves. */
static bool limits_work(void)
{
    if (!mappings_are_cheap())
        return false;
    rlim_t limit = leave_data(16 * MIB);
    void *p = mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    limit_data(limit);
    if (p != MAP_FAILED)
        munmap(p, 32 * MIB);
    return p == MAP_FAILED;
}

/* --- the tests ----------------------------------------------------------------------- */

static const size_t sizes[] = {LARGE, PARTED};

/* The heap has slots, and chunks of all sizes. */
static void use(mem_heap *heap, size_t nbytes)
{
    static uint64_t dice = 7;
    for (size_t done = 0, size; done < nbytes; done += size) {
        size = 1 + rnd(&dice, rnd(&dice, 8) == 0 ? 100000 : 2000);
        char *p = mem_alloc(heap, size);
        assert_non_null(p);
        memset(p, 1, size);
    }
}

static void test_little_is_open(void **unused)
{
    (void)unused;
    if (!mappings_are_cheap())
        skip();
    for (int i = 0; i < 2; i++) {
        size_t data = status_kib("VmData");
        mem_heap *heap = mem_heap_create(sizes[i], NULL);
        if (heap == NULL && mem_last_error() == MEM_NO_MEMORY)
            skip();
        assert_true(writable_bytes(heap, sizes[i]) <= MIB / 4);
        use(heap, 5 * MIB);
        /* The page map has a thousandth of the heap, or of its part, and a step may double. */
        size_t part = sizes[i] < MEM_PART_BYTES ? sizes[i] : MEM_PART_BYTES;
        size_t most = 2 * (8 * MIB + part / 1024);
        assert_true(writable_bytes(heap, sizes[i]) <= most);
        assert_true(status_kib("VmData") - data <= most / 1024 + 1024);
        assert_ok(mem_check(heap, NULL));
        assert_ok(mem_heap_destroy(heap));
        assert_true(status_kib("VmData") <= data + 1024);
    }
}

static void test_a_small_heap_is_open(void **unused)
{
    (void)unused;
    mem_heap *heap = mem_heap_create(8 * MIB, NULL);
    assert_int_equal(writable_bytes(heap, 8 * MIB), 8 * MIB);
    assert_ok(mem_heap_destroy(heap));
}

static enum mem_result take_all(mem_heap *heap, size_t size, size_t *n)
{
    char *p;
    for (*n = 0; (p = mem_alloc(heap, size)) != NULL; ++*n)
        p[0] = p[size - 1] = 1;
    return mem_last_error();
}

static bool free_all(const struct mem_piece *p, void *unused)
{
    (void)unused;
    return !p->live;
}

static void test_a_limit(void **unused)
{
    static const size_t objects[] = {100, 3000, 1 << 20};
    (void)unused;
    if (!limits_work())
        skip();
    for (int i = 0; i < 6; i++) {
        size_t size = objects[i / 2], n = 0, more;
        rlim_t limit = leave_data(256 * MIB);
        mem_heap *heap = mem_heap_create(sizes[i % 2], NULL);
        enum mem_result why = heap == NULL ? MEM_OK : take_all(heap, size, &n);
        limit_data(limit);
        assert_non_null(heap);
        assert_int_equal(why, MEM_NO_SPACE);
        assert_true(n * size >= 160 * MIB && n * size <= 256 * MIB);
        assert_ok(mem_check(heap, NULL));
        /* With the limit gone, the heap goes on; with a new one, it ends later. */
        limit = leave_data(64 * MIB);
        why = take_all(heap, size, &more);
        limit_data(limit);
        assert_int_equal(why, MEM_NO_SPACE);
        assert_true(more * size >= 16 * MIB && more * size <= 64 * MIB);
        assert_ok(mem_check(heap, NULL));
        struct mem_statistics s;
        assert_ok(mem_stats(heap, &s));
        assert_int_equal(s.live_objects, n + more);
        assert_int_equal(s.live_bytes, (n + more) * size);
        assert_ok(mem_heap_destroy(heap));
    }
}

/* Neither the heap nor what is open has changed, however often it is asked. */
static void test_a_refused_request_changes_nothing(void **unused)
{
    (void)unused;
    if (!limits_work())
        skip();
    for (int i = 0; i < 2; i++) {
        struct mem_statistics before, after;
        mem_heap *heap = mem_heap_create(sizes[i], NULL);
        assert_non_null(heap);
        char *p = mem_alloc(heap, 30000);
        assert_ok(mem_stats(heap, &before));
        size_t writable = writable_bytes(heap, sizes[i]), nrefused = 0;
        rlim_t limit = leave_data(16 * MIB);
        for (int k = 0; k < 100; k++) {
            nrefused += mem_alloc(heap, GIB / 2) == NULL && mem_last_error() == MEM_NO_SPACE;
            nrefused += mem_aligned(heap, GIB, GIB) == NULL && mem_last_error() == MEM_NO_SPACE;
            nrefused += mem_resize(heap, p, 5 * GIB) == NULL && mem_last_error() == MEM_NO_SPACE;
        }
        limit_data(limit);
        assert_int_equal(nrefused, 300);
        assert_ok(mem_stats(heap, &after));
        assert_memory_equal(&before, &after, offsetof(struct mem_statistics, resident_bytes));
        assert_true(writable_bytes(heap, sizes[i]) <= writable + MIB / 2);
        assert_non_null(mem_alloc(heap, GIB / 2));
        assert_ok(mem_heap_destroy(heap));
    }
}

/* A heap that has no room at its ends is not made, and leaves nothing behind. */
static void test_no_heap_within_a_limit(void **unused)
{
    (void)unused;
    if (!limits_work())
        skip();
    for (int i = 0; i < 2; i++) {
        size_t mapped = status_kib("VmSize");
        rlim_t limit = limit_data(4096);
        mem_heap *heap = mem_heap_create(sizes[i], NULL);
        enum mem_result why = mem_last_error();
        limit_data(limit);
        assert_null(heap);
        assert_int_equal(why, MEM_NO_MEMORY);
        assert_true(status_kib("VmSize") <= mapped + 1024);
    }
}

/* Lookups and walks touch nothing that is not open: any address is asked about. */
static void test_any_address(void **unused)
{
    uint64_t dice = 5;
    (void)unused;
    if (!mappings_are_cheap())
        skip();
    for (int i = 0; i < 2; i++) {
        mem_heap *heap = mem_heap_create(sizes[i], NULL);
        assert_non_null(heap);
        use(heap, 2 * MIB);
        for (int k = 0; k < share_of(200000); k++) {
            struct mem_piece found;
            uint64_t offset = (uint64_t)rnd(&dice, UINT32_MAX) << 16 | rnd(&dice, 1 << 16);
            char *address = (char *)heap + offset % (k % 2 ? sizes[i] : 3 * MIB);
            enum mem_result what = mem_find(address, &found),
                            in = mem_find_in(heap, address, &found);
            assert_true(what == MEM_OK || what == MEM_NO_OBJECT || what == MEM_FREE);
            assert_int_equal(in, what);
            if (k % 2)
                assert_int_not_equal(mem_free(heap, address), MEM_DAMAGED);
        }
        bool all = true;
        assert_ok(mem_walk(heap, free_all, &all));
        assert_ok(mem_check(heap, NULL));
        assert_ok(mem_heap_destroy(heap));
    }
}

/* --- in a process of its own ------------------------------------------------------------ */

enum { SKIPPED = 77 };

/* Returns whether pages that were only read share one page of zeros, as on most systems. There are
 * kernels of virtual machines that provide each of them: there a lock on all memory costs as much
 * as there is address space that can be read. */
static bool zeros_are_shared(void)
{
    const size_t before = status_kib("VmRSS");
    volatile char *p = mmap(NULL, 8 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    for (size_t i = 0; i < 8 * MIB; i += 4096)
        (void)p[i];
    bool shared = status_kib("VmRSS") < before + 4 * 1024;
    munmap((void *)(uintptr_t)p, 8 * MIB);
    return shared;
}

static int lock_all(void)
{
    if (!zeros_are_shared() || mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        return SKIPPED;
    mem_heap *heap = mem_heap_create(2 * GIB, NULL), *parted = mem_heap_create(PARTED, NULL);
    if (heap == NULL || parted == NULL)
        return SKIPPED;
    use(heap, 5 * MIB);
    return status_kib("VmRSS") < 100 * 1024 ? 0 : 1;
}

static int abort_with_core(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    mem_heap *heap = mem_heap_create(LARGE, NULL);
    if (setrlimit(RLIMIT_CORE, &limit) != 0 || heap == NULL)
        return SKIPPED;
    use(heap, 5 * MIB);
    abort();
}

/* Returns what waitpid stores. */
static int status_of(int (*function)(void))
{
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        _exit(function());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_locked_memory(void **unused)
{
    (void)unused;
    if (!mappings_are_cheap())
        skip();
    int status = status_of(lock_all);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        skip();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Where core files go is the system's affair; the name `core' alone means the current folder. */
static void test_a_core_file(void **unused)
{
    char pattern[128] = "", folder[] = "/tmp/h01_steps.XXXXXX", name[64], here[4096];
    struct stat file;
    (void)unused;
    FILE *setting = fopen("/proc/sys/kernel/core_pattern", "r");
    bool is_known = setting != NULL && fgets(pattern, sizeof pattern, setting) != NULL;
    if (setting != NULL)
        fclose(setting);
    if (!is_known || strcmp(pattern, "core\n") != 0 || !limits_work())
        skip();
    assert_non_null(getcwd(here, sizeof here));
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    int status = status_of(abort_with_core);
    snprintf(name, sizeof name, "core");
    bool is_there = stat(name, &file) == 0;
    unlink(name);
    assert_int_equal(chdir(here), 0);
    rmdir(folder);
    if (!WIFSIGNALED(status) || !WCOREDUMP(status) || !is_there)
        skip();
    assert_true((size_t)file.st_size >= 5 * MIB && (size_t)file.st_size <= 64 * MIB);
}

/* An object cannot grow into one behind it, and no memory is opened for that. */
static void test_a_refused_resize_opens_nothing(void **unused)
{
    (void)unused;
    mem_heap *heap = mem_heap_create(4096 * MIB, NULL);
    void *object = mem_alloc(heap, MIB), *behind = mem_alloc(heap, MIB);
    size_t data = status_kib("VmData");
    assert_non_null(behind);
    assert_null(mem_resize(heap, object, 4095 * MIB));
    assert_int_equal(mem_last_error(), MEM_NO_SPACE);
    assert_true(status_kib("VmData") <= data + 1024);
    assert_ok(mem_heap_destroy(heap));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_little_is_open),
        cmocka_unit_test(test_a_small_heap_is_open),
        cmocka_unit_test(test_a_limit),
        cmocka_unit_test(test_a_refused_request_changes_nothing),
        cmocka_unit_test(test_a_refused_resize_opens_nothing),
        cmocka_unit_test(test_no_heap_within_a_limit),
        cmocka_unit_test(test_any_address),
        cmocka_unit_test(test_locked_memory),
        cmocka_unit_test(test_a_core_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

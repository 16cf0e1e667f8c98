/* SPDX-License-Identifier: MIT
 *
 * refused.c - checks what heaps of the caller's own do when the system refuses memory, or the
 * barrier that a writer needs to know that no lookup is left: a call fails with its own error and
 * changes nothing, or memory that lookups may be reading stays.
 *
 * test.mk lets the linker send the library's calls of os_map, os_allow, grace_open and
 * grace_barrier here.
 */
#include "unit.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/grace.h"
#include "base/os.h"
#include "core/counters.h"
#include "core/pieces.h"
#include "heaps/readers.h"
#include "heaps/registry.h"
#include "mem_heap.h"

enum { NHEAPS = 300, HEAP_BYTES = 1024 };

static _Alignas(16) unsigned char memory[NHEAPS][HEAP_BYTES];
static mem_heap *heap[NHEAPS];
static bool no_map, no_allow, no_barrier;
static int nallowed; /* This number of calls of os_allow is passed on before all are refused. */

void *__real_os_map(size_t nbytes);
void *__wrap_os_map(size_t nbytes);
bool __real_os_allow(void *address, size_t nbytes);
bool __wrap_os_allow(void *address, size_t nbytes);
bool __real_grace_barrier(void);
bool __wrap_grace_barrier(void);
bool __real_grace_open(void);
bool __wrap_grace_open(void);

void *__wrap_os_map(size_t nbytes)
{
    return no_map ? NULL : __real_os_map(nbytes);
}

bool __wrap_os_allow(void *address, size_t nbytes)
{
    return !(no_allow && nallowed-- <= 0) && __real_os_allow(address, nbytes);
}

bool __wrap_grace_barrier(void)
{
    return !no_barrier && __real_grace_barrier();
}

bool __wrap_grace_open(void)
{
    return !no_barrier && __real_grace_open();
}

/* Each test begins with all calls passed on. */
static int set_up(void **state)
{
    (void)state;
    no_map = no_allow = no_barrier = false;
    nallowed = 0;
    return 0;
}

static mem_heap *make(int i)
{
    return mem_heap_in(memory[i], HEAP_BYTES, NULL);
}

/* The table of heaps is full, and cannot grow: a heap more is refused, and the others are there. */
static void test_no_room_in_the_table(void **state)
{
    (void)state;
    int n = 0;
    struct mem_piece p;
    no_map = true;
    while (n < NHEAPS && (heap[n] = make(n)) != NULL)
        n++;
    assert_in_range(n, 1, NHEAPS - 1);
    assert_int_equal(mem_last_error(), MEM_NO_MEMORY);
    assert_int_equal(mem_check((mem_heap *)(void *)memory[n], NULL), MEM_NO_HEAP);
    assert_null(mem_heap_create(1 << 16, NULL)); /* and one that was mapped is unmapped again */
    assert_int_equal(mem_last_error(), MEM_NO_MEMORY);
    void *object = mem_alloc(heap[0], 100);
    assert_int_equal(mem_heap_detach(heap[0]), MEM_OK);
    heap[n] = make(n); /* in the place of the one that was detached */
    assert_non_null(heap[n]);
    assert_null(mem_heap_attach(memory[0], HEAP_BYTES, NULL));
    assert_int_equal(mem_last_error(), MEM_NO_MEMORY);
    no_map = false;
    heap[0] = mem_heap_attach(memory[0], HEAP_BYTES, NULL);
    assert_ptr_equal(heap[0], memory[0]);
    assert_int_equal(mem_find(object, &p), MEM_OK);
    assert_ptr_equal(p.heap, heap[0]);
    for (int i = 0; i <= n; i++)
        assert_int_equal(mem_heap_destroy(heap[i]), MEM_OK);
}

/* --- without a barrier ------------------------------------------------------------------- */

static _Atomic bool has_looked, may_end;

static void *look_up_and_stay(void *address)
{
    struct mem_piece p;
    mem_find(address, &p);
    has_looked = true;
    while (!may_end)
        usleep(1000);
    return NULL;
}

static bool is_mapped(const void *page, size_t nbytes)
{
    unsigned char told[16];
    return mincore((void *)(uintptr_t)page, nbytes, told) == 0;
}

/* Another thread has a reader. Without a barrier nothing says whether it is at work: so a heap that
 * is destroyed leaves the table, and its memory stays. */
static void test_no_barrier(void **state)
{
    (void)state;
    pthread_t thread;
    struct mem_piece p;
    mem_heap *mapped = mem_heap_create(1 << 14, NULL), *other = mem_heap_create(1 << 14, NULL);
    void *object = mem_alloc(mapped, 100);
    has_looked = may_end = false;
    assert_int_equal(pthread_create(&thread, NULL, look_up_and_stay, object), 0);
    while (!has_looked)
        usleep(1000);
    assert_int_equal(mem_find(object, &p), MEM_OK);
    if (reader_mine == &reader_none) { /* no barrier here: then lookups are counted */
        may_end = true;
        pthread_join(thread, NULL);
        skip();
    }
    no_barrier = true;
    assert_false(registry_wait_for_readers());
    assert_int_equal(mem_heap_destroy(mapped), MEM_OK);
    assert_int_equal(mem_find(object, &p), MEM_NOT_OURS);
    assert_true(is_mapped(mapped, 1 << 14));
    for (int i = 0; i < NHEAPS; i++) /* the table grows, and the one before stays */
        heap[i] = make(i);
    for (int i = 0; i < NHEAPS; i++)
        assert_int_equal(mem_heap_destroy(heap[i]), MEM_OK);
    no_barrier = false;
    assert_true(registry_wait_for_readers());
    assert_int_equal(mem_heap_destroy(other), MEM_OK);
    assert_false(is_mapped(other, 1 << 14));
    may_end = true;
    pthread_join(thread, NULL);
    munmap(mapped, 1 << 14);
}

static void *look_up_without_a_barrier(void *object)
{
    struct mem_piece p;
    for (int i = 0; i < 3; i++)
        assert_int_equal(mem_find(object, &p), MEM_OK);
    assert_ptr_equal(reader_mine, &reader_none);
    return NULL;
}

/* A thread that looks up where there is no barrier gets no reader: its lookups are counted. */
static void test_no_readers(void **state)
{
    (void)state;
    pthread_t thread;
    mem_heap *m = mem_heap_create(1 << 20, NULL);
    void *object = mem_alloc(m, 100);
    no_barrier = true;
    assert_int_equal(pthread_create(&thread, NULL, look_up_without_a_barrier, object), 0);
    pthread_join(thread, NULL);
    no_barrier = false;
    assert_int_equal(mem_heap_destroy(m), MEM_OK);
}

static void *stay_in_a_lookup(void *nothing)
{
    struct lookup_scope scope = lookup_begin();
    assert_ptr_equal(reader_mine, &reader_none);
    has_looked = true;
    while (!may_end)
        usleep(1000);
    lookup_end(&scope);
    return nothing;
}

/* In the child of a fork no lookup of another thread is waited for, also if it was counted. */
static void test_a_counted_lookup_and_a_fork(void **state)
{
    (void)state;
    pthread_t thread;
    int status = -1;
    no_barrier = true;
    has_looked = may_end = false;
    assert_int_equal(pthread_create(&thread, NULL, stay_in_a_lookup, NULL), 0);
    while (!has_looked)
        usleep(1000);
    no_barrier = false;
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(registry_wait_for_readers() ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    may_end = true;
    pthread_join(thread, NULL);
    assert_int_equal(status, 0);
}

/* A guard page that cannot move, since a lookup may be reading the records, stays where it is. */
static void test_no_barrier_for_a_guard(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20, MANY = 20000 };
    static void *object[MANY];
    pthread_t thread;
    struct mem_options options = {.flags = MEM_GUARD_PAGES};
    mem_heap *m = mem_heap_create(BYTES, &options);
    int n = 0;
    has_looked = may_end = false;
    assert_int_equal(pthread_create(&thread, NULL, look_up_and_stay, m), 0);
    while (!has_looked)
        usleep(1000);
    while (n < MANY && (object[n] = mem_alloc(m, 16)) != NULL)
        n++;
    for (int i = 0; i < n; i++)
        assert_int_equal(mem_free(m, object[i]), MEM_OK);
    no_barrier = true;
    void *large = mem_alloc(m, BYTES * 3 / 4);
    bool counted = reader_mine == &reader_none;
    assert_true(counted || large == NULL);
    assert_int_equal(mem_check(m, NULL), MEM_OK);
    assert_non_null(mem_alloc(m, 1000));
    no_barrier = false;
    if (large == NULL)
        assert_non_null(mem_alloc(m, BYTES * 3 / 4));
    assert_int_equal(mem_check(m, NULL), MEM_OK);
    may_end = true;
    pthread_join(thread, NULL);
    assert_int_equal(mem_heap_destroy(m), MEM_OK);
}

/* --- heaps that are not as the table says --------------------------------------------------- */

static _Alignas(4096) unsigned char place[1 << 22], image[1 << 21], kept[1 << 21];

/* Where the bytes of another heap were copied to, a lookup follows none of their numbers. */
static void test_another_heap_in_its_place(void **state)
{
    (void)state;
    struct mem_piece p;
    mem_heap *beside = mem_heap_create(1 << 20, NULL);
    void *far = mem_alloc(beside, 100);
    struct mem_options options = {.flags = MEM_SLOTS};
    mem_heap *m = mem_heap_in(place, 1 << 21, &options);
    void *object = mem_alloc(m, 100), *chunk = mem_alloc(m, 50000);
    assert_true(object != NULL && chunk != NULL);
    memcpy(image, place, sizeof image);
    assert_int_equal(mem_heap_destroy(m), MEM_OK);
    m = mem_heap_in(place, 1 << 20, &options);
    assert_int_equal(mem_free(m, mem_alloc(m, 100)), MEM_OK);
    assert_int_equal(mem_find(far, &p), MEM_OK); /* the thread notes that heap */
    memcpy(kept, place, sizeof kept);
    memcpy(place, image, sizeof image);
    assert_int_equal(mem_find(object, &p), MEM_DAMAGED);
    assert_int_equal(mem_find(chunk, &p), MEM_DAMAGED);
    memset(place, 0, 64); /* or no heap at all */
    assert_int_equal(mem_find(object, &p), MEM_NOT_OURS);
    memcpy(place, kept, sizeof kept);
    assert_int_equal(mem_heap_destroy(m), MEM_OK);
    assert_int_equal(mem_heap_destroy(beside), MEM_OK);
}

/* Takes a heap out of the table, and looks for an object in it by its handle. */
static void find_without_the_table(mem_heap *m, const void *object, enum mem_result elsewhere)
{
    struct heap_range range;
    struct mem_piece p;
    struct lookup_scope scope = lookup_begin();
    assert_int_equal(registry_find((uintptr_t)m, &range), REGISTRY_FOUND);
    lookup_end(&scope);
    assert_ptr_equal(range.owner, m);
    assert_true(registry_remove(m));
    assert_int_equal(mem_find_in(m, object, &p), MEM_OK);
    assert_true(p.start == object && p.live);
    enum mem_result anywhere = mem_find(object, &p);
    assert_int_equal(anywhere, elsewhere);
    assert_true(anywhere != MEM_OK || p.heap != m);
    assert_true(registry_add(&range));
    assert_int_equal(mem_find(object, &p), MEM_OK);
    assert_ptr_equal(p.heap, m);
}

/* What the table does not have, or has in the object of another heap, is found by its handle. */
static void test_a_heap_that_the_table_lacks(void **state)
{
    (void)state;
    struct mem_options options = {.flags = MEM_SLOTS};
    mem_heap *m = mem_heap_in(place, 1 << 21, &options);
    find_without_the_table(m, mem_alloc(m, 100), MEM_NOT_OURS);
    assert_int_equal(mem_heap_destroy(m), MEM_OK);
    mem_heap *outer = mem_heap_in(place, sizeof place, NULL);
    mem_heap *inner = mem_heap_in(mem_alloc(outer, 1 << 21), 1 << 21, &options);
    find_without_the_table(inner, mem_alloc(inner, 100), MEM_OK);
    assert_int_equal(mem_heap_destroy(inner), MEM_OK);
    assert_int_equal(mem_heap_destroy(outer), MEM_OK);
}

/* --- thread caches without a barrier -------------------------------------------------------- */

static _Alignas(SLICE_BYTES) unsigned char region[1 << 24];
static struct heap cached; /* as malloc's is */
static _Atomic bool has_joined;

static void *join_and_stay(void *nothing)
{
    struct thread mine = {0};
    (void)nothing;
    heap_join(&cached, &mine);
    assert_non_null(mine.tcache);
    has_joined = true;
    while (!may_end)
        usleep(1000);
    heap_leave(&cached, &mine);
    return NULL;
}

/* Without a barrier the cache of another thread cannot be taken away: so the heap does not count,
 * and keeps its empty spans. */
static void test_no_barrier_for_caches(void **state)
{
    (void)state;
    static struct counters counters;
    pthread_t thread[2];
    struct recount n;
    if (!grace_open())
        skip();
    heap_open_locked(&cached, (struct region){.base = region, .nbytes = sizeof region}, NULL);
    may_end = false;
    for (int i = 0; i < 2; i++) {
        has_joined = false;
        assert_int_equal(pthread_create(&thread[i], NULL, join_and_stay, NULL), 0);
        while (!has_joined)
            usleep(1000);
    }
    no_barrier = true;
    heap_lock(&cached);
    bool counts = heap_count_locked(&cached, &counters);
    heap_unlock(&cached);
    assert_false(counts);
    assert_null(cached.counters);
    assert_null(check_fault_locked(&cached, &n));
    no_barrier = false;
    heap_lock(&cached);
    counts = heap_count_locked(&cached, &counters);
    heap_unlock(&cached);
    assert_true(counts);
    assert_ptr_equal(cached.counters, &counters);
    may_end = true;
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert_null(check_fault_locked(&cached, &n));
}

/* --- memory that cannot be opened ---------------------------------------------------------- */

static void test_no_steps(void **state)
{
    (void)state;
    const size_t nbytes = (size_t)1 << 33;
    for (nallowed = 0; nallowed < 2; nallowed++) { /* the low end, or the high one */
        int left = nallowed;
        no_allow = true;
        assert_null(mem_heap_create(nbytes, NULL));
        assert_int_equal(mem_last_error(), MEM_NO_MEMORY);
        no_allow = false;
        nallowed = left;
    }
    mem_heap *large = mem_heap_create(nbytes, NULL);
    assert_non_null(large);
    void *first = mem_alloc(large, 1000);
    no_allow = true;
    nallowed = 0;
    assert_null(mem_alloc(large, nbytes / 4));
    assert_int_equal(mem_last_error(), MEM_NO_SPACE);
    assert_non_null(mem_alloc(large, 2000)); /* what is open already can be had */
    assert_int_equal(mem_check(large, NULL), MEM_OK);
    no_allow = false;
    assert_non_null(mem_alloc(large, nbytes / 4));
    assert_int_equal(mem_free(large, first), MEM_OK);
    assert_int_equal(mem_heap_destroy(large), MEM_OK);
}

/* A part that cannot be opened stays closed. */
static void test_no_further_part(void **state)
{
    (void)state;
    if (!mappings_are_cheap())
        skip();
    mem_heap *large = mem_heap_create(2 * MEM_PART_BYTES, NULL);
    if (large == NULL)
        skip(); /* the machine does not grant these addresses */
    const size_t most = MEM_PART_BYTES - ((size_t)1 << 30);
    void *first = mem_alloc(large, most);
    assert_non_null(first);
    no_allow = true;
    assert_null(mem_alloc(large, most));
    assert_int_equal(mem_last_error(), MEM_NO_SPACE);
    assert_int_equal(mem_check(large, NULL), MEM_OK);
    no_allow = false;
    void *second = mem_alloc(large, most);
    assert_non_null(second);
    assert_int_equal(mem_free(large, second), MEM_OK);
    assert_int_equal(mem_free(large, first), MEM_OK);
    assert_int_equal(mem_heap_destroy(large), MEM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_no_room_in_the_table, set_up),
        cmocka_unit_test_setup(test_no_barrier, set_up),
        cmocka_unit_test_setup(test_no_readers, set_up),
        cmocka_unit_test_setup(test_a_counted_lookup_and_a_fork, set_up),
        cmocka_unit_test_setup(test_no_barrier_for_a_guard, set_up),
        cmocka_unit_test_setup(test_another_heap_in_its_place, set_up),
        cmocka_unit_test_setup(test_a_heap_that_the_table_lacks, set_up),
        cmocka_unit_test_setup(test_no_barrier_for_caches, set_up),
        cmocka_unit_test_setup(test_no_steps, set_up),
        cmocka_unit_test_setup(test_no_further_part, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * h14_parts.c - H14: checks heaps of more than 64 GiB.
 *
 * Memory comes as it is touched. So one large object fills a part without costing memory, since
 * the tests do not touch it.
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem_heap.h"

#define GIB ((size_t)1 << 30)
enum { NPARTS = 16 };
static uint64_t dice = 3;
static mem_heap *heap; /* A heap of 1 TiB. */
/* The largest object that a part can hold; the first part can hold a little less. */
static size_t largest;

#define assert_ok(call) assert_int_equal((call), MEM_OK)

static size_t part_of(const void *address)
{
    return (size_t)((const char *)address - (const char *)heap) / MEM_PART_BYTES;
}

static char *part_at(size_t part)
{
    return (char *)heap + part * MEM_PART_BYTES;
}

/* --- contents of the heap ----------------------------------------------------------- */

struct seen {
    const char *end;
    size_t nlive, live_bytes, nfree, free_bytes, nwrong;
};

static bool see(const struct mem_piece *p, void *context)
{
    struct seen *s = context;
    struct mem_piece found;
    const char *last = (const char *)p->start + (p->size > 0 ? p->size - 1 : 0);
    s->nwrong += (const char *)p->start < s->end || p->heap != heap;
    s->nwrong += part_of(p->start) != part_of(last);
    s->nwrong += mem_find(last, &found) != MEM_OK || found.start != p->start ||
                 found.size != p->size || found.live != p->live || found.heap != heap;
    s->end = last + 1;
    s->nlive += p->live;
    s->live_bytes += p->live ? p->size : 0;
    s->nfree += !p->live;
    s->free_bytes += p->live ? 0 : p->size;
    return true;
}

static struct mem_statistics assert_whole(void)
{
    struct mem_statistics s;
    struct seen seen = {0};
    const char *wrong = "?";
    assert_ok(mem_check(heap, &wrong));
    assert_null(wrong);
    assert_ok(mem_walk(heap, see, &seen));
    assert_int_equal(seen.nwrong, 0);
    assert_ok(mem_stats(heap, &s));
    assert_int_equal(s.region_bytes, NPARTS * MEM_PART_BYTES);
    assert_int_equal(s.region_bytes,
                     s.live_bytes + s.slack_bytes + s.free_bytes + s.metadata_bytes);
    assert_int_equal(s.live_objects, seen.nlive);
    assert_int_equal(s.live_bytes, seen.live_bytes);
    assert_int_equal(s.free_chunks, seen.nfree);
    assert_int_equal(s.free_bytes, seen.free_bytes);
    return s;
}

static void assert_all_free(void)
{
    struct mem_statistics s = assert_whole();
    assert_int_equal(s.live_objects, 0);
    assert_int_equal(s.free_chunks, NPARTS);
    assert_int_equal(s.largest_free, largest);
}

static void assert_found(const char *start, size_t size)
{
    struct mem_piece any, in;
    for (int i = 0; i < 2; i++) { /* The second lookup uses what the first one has cached. */
        const char *address = i == 0 ? start : start + size - 1;
        assert_ok(mem_find(address, &any));
        assert_ok(mem_find_in(heap, address, &in));
        assert_true(any.live && any.start == start && any.size == size && any.heap == heap);
        assert_true(in.live && in.start == start && in.size == size && in.heap == heap);
    }
}

/* Allocates one object that takes all of a free part. */
static char *fill_part(size_t part)
{
    struct mem_piece found;
    assert_ok(mem_find(part_at(part) + GIB, &found));
    assert_false(found.live);
    char *object = mem_alloc(heap, found.size);
    assert_int_equal(part_of(object), part);
    return object;
}

static int open_it(void **state)
{
    (void)state;
    struct mem_statistics s;
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* The test counts pages. */
    heap = mem_heap_create(NPARTS * MEM_PART_BYTES, NULL);
    if (heap == NULL)
        return mem_last_error() == MEM_NO_MEMORY ? 0 : -1;
    assert_ok(mem_stats(heap, &s));
    largest = s.largest_free;
    return largest + 1024 > MEM_PART_BYTES && largest < MEM_PART_BYTES ? 0 : -1;
}

static int close_it(void **state)
{
    (void)state;
    return heap == NULL || mem_heap_destroy(heap) == MEM_OK ? 0 : -1;
}

/* Skips the test on a machine that does not grant a heap of that size. */
#define need_heap()                                                                                \
    if (heap == NULL)                                                                              \
    skip()

/* --- the tests -------------------------------------------------------------------------- */

static size_t resident_pages(void)
{
    size_t npages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*s %zu", &npages) != 1)
        npages = 0;
    if (file != NULL)
        fclose(file);
    return npages;
}

static void test_what_it_costs(void **state)
{
    (void)state;
    struct mem_statistics s;
    (void)resident_pages(); /* stdio needs some pages itself. */
    size_t before = resident_pages();
    mem_heap *large = mem_heap_create(64 * MEM_PART_BYTES, NULL); /* It has 4 TiB. */
    if (large == NULL && mem_last_error() == MEM_NO_MEMORY)
        skip();
    assert_ok(mem_stats(large, &s));
    assert_ok(mem_check(large, NULL));
    assert_int_equal(s.free_chunks, 64);
    assert_int_equal(s.region_bytes, 64 * MEM_PART_BYTES);
    char *p = mem_alloc(large, 100 << 20);
    p[0] = p[50 << 20] = 1;
    assert_true(resident_pages() < before + 32);
    assert_ok(mem_stats(large, &s));
    assert_true(s.resident_bytes > 0 && s.resident_bytes <= 8 * (size_t)sysconf(_SC_PAGESIZE));
    assert_ok(mem_free(large, p));
    assert_ok(mem_heap_destroy(large));
    assert_true(resident_pages() < before + 32);
    assert_int_equal(mem_find(p, &(struct mem_piece){0}), MEM_NOT_OURS);
}

static void test_all_parts(void **state)
{
    (void)state;
    need_heap();
    char *object[NPARTS], *rest[NPARTS];
    for (size_t i = 0; i < NPARTS; i++) {
        object[i] = mem_alloc(heap, 60 * GIB + i);
        assert_int_equal(part_of(object[i]), i);
        object[i][0] = object[i][60 * GIB + i - 1] = (char)i;
    }
    assert_null(mem_alloc(heap, 60 * GIB));
    assert_int_equal(mem_last_error(), MEM_NO_SPACE);
    for (size_t i = 0; i < NPARTS; i++) {
        rest[i] = mem_alloc_fit(heap, 3 * GIB, 1, MEM_BEST_FIT);
        assert_int_equal(part_of(rest[i]), i);
    }
    for (size_t i = 0; i < NPARTS; i++) {
        assert_found(object[i], 60 * GIB + i);
        assert_found(rest[i], 3 * GIB);
        assert_true(object[i][0] == (char)i && object[i][60 * GIB + i - 1] == (char)i);
    }
    struct mem_statistics s = assert_whole();
    assert_int_equal(s.live_objects, 2 * NPARTS);
    assert_int_equal(s.live_bytes, NPARTS * 63 * GIB + NPARTS * (NPARTS - 1) / 2);
    for (size_t i = 0; i < NPARTS; i++) {
        size_t k = i * 7 % NPARTS;
        assert_ok(mem_free_any(heap, object[k] + 30 * GIB));
        assert_int_equal(mem_free(heap, object[k]), MEM_FREE);
        assert_ok(mem_free(heap, rest[NPARTS - 1 - k]));
    }
    assert_all_free();
}

static void test_refusals(void **state)
{
    (void)state;
    need_heap();
    struct mem_piece p;
    char *object = mem_alloc(heap, 60 * GIB), *second = mem_alloc(heap, 50 * GIB);
    assert_int_equal(part_of(second), 1);
    struct mem_statistics before = assert_whole();
    assert_int_equal(mem_free(heap, second + 1), MEM_INSIDE);
    assert_int_equal(mem_free(heap, second + 50 * GIB), MEM_FREE);
    assert_int_equal(mem_free(heap, object + 60 * GIB), MEM_FREE);
    assert_int_equal(mem_free(heap, (char *)heap + 8), MEM_NO_OBJECT);
    assert_int_equal(mem_free(heap, part_at(1)), MEM_NO_OBJECT);
    assert_int_equal(mem_free_any(heap, part_at(1) + 100), MEM_NO_OBJECT);
    /* The address lies in the records of part 0. */
    assert_int_equal(mem_free_any(heap, part_at(1) - 1), MEM_NO_OBJECT);
    assert_int_equal(mem_free_any(heap, part_at(9) + GIB), MEM_FREE);
    assert_int_equal(mem_free_any(heap, part_at(9)), MEM_NO_OBJECT);
    assert_int_equal(mem_free_any(heap, part_at(NPARTS)), MEM_NOT_OURS);
    assert_int_equal(mem_free_any(heap, (char *)heap - 1), MEM_NOT_OURS);
    assert_int_equal(mem_find(part_at(1) + 8, &p), MEM_NO_OBJECT);
    assert_int_equal(mem_find(part_at(12) + 8, &p), MEM_NO_OBJECT);
    assert_int_equal(mem_find_in(heap, part_at(NPARTS), &p), MEM_NOT_OURS);
    assert_ok(mem_find(part_at(12) + GIB, &p));
    assert_true(!p.live && p.size + 1024 > MEM_PART_BYTES && p.heap == heap);
    assert_null(mem_resize(heap, part_at(12) + GIB, 10));
    assert_int_equal(mem_last_error(), MEM_FREE);
    assert_null(mem_alloc(heap, MEM_PART_BYTES + 1));
    assert_int_equal(mem_last_error(), MEM_TOO_LARGE);
    assert_null(mem_resize(heap, second, MEM_PART_BYTES + 1));
    assert_int_equal(mem_last_error(), MEM_TOO_LARGE);
    assert_null(mem_alloc(heap, largest + 1));
    assert_int_equal(mem_last_error(), MEM_NO_SPACE);
    struct mem_statistics after = assert_whole();
    assert_memory_equal(&before, &after, sizeof before);
    assert_ok(mem_free(heap, object));
    assert_ok(mem_free(heap, second));
    assert_all_free();
}

/* A part is opened only for an object that it can hold, and only if no open part can. */
static void test_what_is_refused_opens_no_part(void **state)
{
    (void)state;
    need_heap();
    struct mem_statistics before, after;
    mem_heap *shared = heap;
    heap = mem_heap_create(NPARTS * MEM_PART_BYTES, NULL);
    if (heap == NULL && mem_last_error() == MEM_NO_MEMORY) {
        heap = shared;
        skip();
    }
    char *p = mem_alloc(heap, 10), *object[NPARTS - 1];
    assert_ok(mem_stats(heap, &before));
    for (int i = 0; i < 3; i++) {
        assert_null(mem_alloc(heap, largest + 1));
        assert_int_equal(mem_last_error(), MEM_NO_SPACE);
        assert_null(mem_resize(heap, p, MEM_PART_BYTES));
        assert_int_equal(mem_last_error(), MEM_NO_SPACE);
        assert_null(mem_aligned(heap, 60 * GIB, 256 * MEM_PART_BYTES));
        assert_int_equal(mem_last_error(), MEM_NO_SPACE);
    }
    assert_ok(mem_stats(heap, &after));
    assert_memory_equal(&before, &after, sizeof before); /* No page was touched. */
    for (size_t i = 1; i < NPARTS; i++) {
        object[i - 1] = mem_alloc(heap, largest);
        assert_int_equal(part_of(object[i - 1]), i);
        assert_ok(mem_stats(heap, &after));
        assert_int_equal(after.resident_bytes - before.resident_bytes,
                         2 * i * (size_t)sysconf(_SC_PAGESIZE)); /* struct heap, and a record */
    }
    assert_null(mem_alloc(heap, largest));
    for (size_t i = 0; i < NPARTS - 1; i++)
        assert_ok(mem_free(heap, object[i]));
    assert_ok(mem_free(heap, p));
    assert_all_free();
    assert_ok(mem_heap_destroy(heap));
    heap = shared;
}

/* Small objects, in slots and outside, where the first two parts are full. */
static void test_small_objects(void **state)
{
    (void)state;
    need_heap();
    enum { N = 3000 };
    static char *small[N];
    char *fill[2];
    for (size_t i = 0; i < 2; i++)
        fill[i] = fill_part(i);
    for (size_t i = 0; i < N; i++) {
        small[i] = mem_alloc(heap, 1 + i % 1000);
        memset(small[i], (int)i, 1 + i % 1000);
        assert_int_equal(part_of(small[i]), 2);
    }
    for (size_t i = 0; i < N; i++)
        assert_found(small[i], 1 + i % 1000);
    assert_int_equal(assert_whole().live_objects, N + 2);
    assert_ok(mem_free(heap, fill[1]));
    char *p = mem_alloc(heap, 10); /* It comes from the first part that has room. */
    assert_int_equal(part_of(p), 1);
    assert_ok(mem_free(heap, p));
    for (size_t i = 0; i < N; i++) {
        size_t size = 1 + i % 1000, more = i % 3 == 0 ? 200000 : size + 100;
        char *now = mem_resize(heap, small[i], more);
        assert_int_equal(part_of(now), now == small[i] ? 2 : 1);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(now[k], (char)i);
        small[i] = now;
    }
    assert_int_equal(assert_whole().live_objects, N + 1);
    for (size_t i = 0; i < N; i++)
        assert_ok(i % 2 ? mem_free(heap, small[i]) : mem_free_any(heap, small[i] + i % 1000));
    assert_ok(mem_free(heap, fill[0]));
    assert_all_free();
}

static void test_resizing(void **state)
{
    (void)state;
    need_heap();
    char *object = mem_alloc(heap, 60 * GIB), *behind = mem_alloc(heap, 3 * GIB);
    assert_ptr_equal(mem_resize(heap, object, 10 * GIB), object);
    assert_ptr_equal(mem_resize(heap, object, 55 * GIB), object);
    assert_found(object, 55 * GIB);
    memcpy(behind, "moves", 6);
    assert_ptr_equal(mem_resize(heap, behind, 4000), behind);
    char *end = mem_alloc_fit(heap, 3 * GIB + GIB / 2, 1, MEM_WORST_FIT);
    assert_int_equal(part_of(end), 0);
    char *gap = mem_alloc_fit(heap, 3 * GIB, 1, MEM_FIRST_FIT);
    assert_int_equal(part_of(gap), 0);
    behind = mem_resize(heap, behind, 5 * GIB / 2);
    assert_int_equal(part_of(behind), 1);
    assert_string_equal(behind, "moves");
    assert_whole();
    assert_ok(mem_free(heap, object));
    assert_ok(mem_free(heap, behind));
    assert_ok(mem_free(heap, end));
    assert_ok(mem_free(heap, gap));
    assert_all_free();
}

/* The parts are tried in order, and the style chooses within a part. */
static void test_styles(void **state)
{
    (void)state;
    need_heap();
    static const enum mem_style styles[] = {MEM_ANY_FIT, MEM_BEST_FIT, MEM_WORST_FIT,
                                            MEM_FIRST_FIT};
    char *first = mem_alloc(heap, 60 * GIB), *second = mem_alloc(heap, 63 * GIB);
    for (int i = 0; i < 4; i++) {
        char *p = mem_alloc_fit(heap, GIB / 2, 1, styles[i]);
        /* It would fit more tightly in part 1, and part 2 has more room. */
        assert_int_equal(part_of(p), 0);
        assert_ok(mem_free(heap, p));
    }
    char *p = mem_aligned(heap, GIB, 8 * GIB);
    assert_true((uintptr_t)p % (8 * GIB) == 0);
    assert_ok(mem_free(heap, first));
    assert_ok(mem_free(heap, second));
    assert_ok(mem_free(heap, p));
    assert_all_free();
}

static void test_a_limit(void **state)
{
    (void)state;
    struct mem_options limit = {.limit = 100 * GIB};
    mem_heap *h = mem_heap_create(2 * MEM_PART_BYTES, &limit);
    if (h == NULL && mem_last_error() == MEM_NO_MEMORY)
        skip();
    char *p = mem_alloc(h, 60 * GIB);
    assert_null(mem_alloc(h, 60 * GIB));
    assert_int_equal(mem_last_error(), MEM_OVER_LIMIT);
    assert_non_null(mem_alloc(h, 40 * GIB));
    assert_ok(mem_free(h, p));
    assert_ok(mem_heap_destroy(h));
}

/* Checks a heap of one page more than a part, and sizes that are refused. */
static void test_sizes(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    mem_heap *h = mem_heap_create(MEM_PART_BYTES + 1, NULL);
    if (h == NULL && mem_last_error() == MEM_NO_MEMORY)
        skip();
    struct mem_statistics s;
    assert_ok(mem_stats(h, &s));
    assert_int_equal(s.region_bytes, MEM_PART_BYTES + page);
    assert_int_equal(s.free_chunks, 2);
    char *all = mem_alloc(h, s.largest_free), *p = mem_alloc(h, 3000);
    assert_true(p > (char *)h + MEM_PART_BYTES);
    memset(p, 1, 3000);
    assert_null(mem_alloc(h, page));
    assert_ok(mem_check(h, NULL));
    assert_null(mem_heap_attach(h, SIZE_MAX, NULL));
    assert_int_equal(mem_last_error(), MEM_TOO_LARGE);
    assert_null(mem_heap_in(all, MEM_PART_BYTES + 1, NULL));
    assert_int_equal(mem_last_error(), MEM_TOO_LARGE);
    assert_ok(mem_free(h, p));
    assert_ok(mem_free(h, all));
    assert_ok(mem_heap_destroy(h));
    assert_null(mem_heap_create(MEM_HEAP_MAX, NULL)); /* The stack is in the address space, too. */
    assert_int_equal(mem_last_error(), MEM_NO_MEMORY);
    assert_null(mem_heap_create(MEM_HEAP_MAX + 1, NULL));
    assert_int_equal(mem_last_error(), MEM_TOO_LARGE);
}

/* Returns the record of the chunk that begins `start` granules into the region that ends at
 * `end`. */
static uint64_t *record_of(char *end, uint64_t start)
{
    for (uint64_t *word = (uint64_t *)(void *)end - 1; (char *)word > end - 1024; word--)
        if (*word >> 32 == start)
            return word;
    return NULL;
}

/* Damage to the records of any part is found, even if all sums stay unchanged since only a
 * boundary moved. */
static void test_damage(void **state)
{
    (void)state;
    mem_heap *h = mem_heap_create(3 * MEM_PART_BYTES, NULL);
    if (h == NULL && mem_last_error() == MEM_NO_MEMORY)
        skip();
    const char *wrong = NULL;
    for (int i = 0; i < 6; i++)
        assert_non_null(mem_alloc(h, 30 * GIB)); /* Each part gets two. */
    for (size_t i = 1; i <= 3; i++) {
        uint64_t *record = record_of((char *)h + i * MEM_PART_BYTES, 30 * GIB / 16);
        assert_ok(mem_check(h, NULL));
        assert_non_null(record);
        *record += (uint64_t)1 << 32;
        assert_int_equal(mem_check(h, &wrong), MEM_DAMAGED);
        assert_non_null(wrong);
        *record -= (uint64_t)1 << 32;
    }
    assert_ok(mem_heap_destroy(h));
}

/* How many parts are open is the last word of the header: the number, and above it its complement.
 * A lookup that believed a wrong number would read what is only reserved. */
static void test_damaged_number_of_parts(void **state)
{
    (void)state;
    struct mem_piece found;
    mem_heap *h = mem_heap_create(3 * MEM_PART_BYTES, NULL);
    if (h == NULL && mem_last_error() == MEM_NO_MEMORY)
        skip();
    char *object = mem_alloc(h, 60 * GIB), *in_last = (char *)h + 2 * MEM_PART_BYTES + GIB;
    uint64_t *word = (uint64_t *)(void *)object - 1;
    if (*word != 0xFFFFFFFE00000001)
        word--; /* the region begins at a multiple of 16 bytes */
    assert_int_equal(*word, 0xFFFFFFFE00000001);
    static const uint64_t wrong_words[] = {0, 1, 2, 3, 4, UINT64_MAX, 0xFFFFFFFE00000003};
    for (size_t i = 0; i < sizeof wrong_words / sizeof *wrong_words; i++) {
        const char *wrong = NULL;
        uint64_t was = *word;
        *word = wrong_words[i];
        assert_int_equal(mem_check(h, &wrong), MEM_DAMAGED);
        assert_non_null(wrong);
        assert_null(mem_alloc(h, 10));
        assert_int_equal(mem_find(in_last, &found), MEM_DAMAGED);
        *word = was;
        assert_int_equal(mem_find(object, &found), MEM_OK);
    }
    assert_int_equal(mem_check(h, NULL), MEM_OK);
    assert_ok(mem_heap_destroy(h));
}

static void *churn(void *number)
{
    uint64_t state = 77 + (uintptr_t)number;
    char *mine[50] = {0};
    size_t nwrong = 0;
    for (int k = 0; k < share_of(20000); k++) {
        size_t i = rnd(&state, 50), size = rnd(&state, 20) ? 1 + rnd(&state, 3000) : 7 * GIB;
        if (mine[i] != NULL)
            nwrong += mem_free(heap, mine[i]) != MEM_OK;
        mine[i] = mem_alloc(heap, size);
        struct mem_piece found;
        enum mem_result result = mine[i] == NULL ? MEM_BUSY : mem_find(mine[i] + size - 1, &found);
        nwrong += result == MEM_OK ? found.start != mine[i] : result != MEM_BUSY;
    }
    for (size_t i = 0; i < 50; i++)
        if (mine[i] != NULL)
            nwrong += mem_free(heap, mine[i]) != MEM_OK;
    return (void *)nwrong;
}

static void test_threads_and_fork(void **state)
{
    (void)state;
    need_heap();
    pthread_t thread[3];
    char *fill = fill_part(0), *p = mem_alloc(heap, 1000);
    assert_int_equal(part_of(p), 1);
    memset(p, 5, 1000);
    for (uintptr_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, churn, (void *)i), 0);
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0) {
            assert_whole();
            assert_found(p, 1000);
            p[0] = 6;
            _exit(mem_free(heap, p) == MEM_OK && mem_alloc(heap, 20 * GIB) != NULL ? 0 : 1);
        }
        int status = -1;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    for (int i = 0; i < 3; i++) {
        void *nwrong;
        assert_int_equal(pthread_join(thread[i], &nwrong), 0);
        assert_null(nwrong);
    }
    assert_int_equal(p[0], 5);
    assert_ok(mem_free(heap, p));
    assert_ok(mem_free(heap, fill));
    assert_all_free();
}

/* Allocates sizes of up to 16 GiB at random; what the heap says about live objects must match the
 * test's own list. */
static void test_at_random(void **state)
{
    (void)state;
    need_heap();
    enum { N = 150 };
    static struct {
        char *start;
        size_t size;
    } live[N];
    size_t nfull = 0, n = 0, nbytes = 0;
    for (int k = 0; k < share_of(20000); k++) {
        size_t i = rnd(&dice, N), size = (size_t)1 << rnd(&dice, 35);
        size -= rnd(&dice, 1000) * size / 2000;
        if (live[i].start != NULL) {
            assert_found(live[i].start, live[i].size);
            assert_ok(mem_free_any(heap, live[i].start + rnd(&dice, 1000) * live[i].size / 1000));
            nbytes -= live[i].size;
            n--;
        }
        live[i].start = mem_alloc_fit(heap, size, 1, (enum mem_style)rnd(&dice, 4));
        live[i].size = size;
        n += live[i].start != NULL;
        nbytes += live[i].start != NULL ? size : 0;
        nfull += live[i].start == NULL;
        if (k % 4000 == 0) {
            struct mem_statistics s = assert_whole();
            assert_int_equal(s.live_objects, n);
            assert_int_equal(s.live_bytes, nbytes);
        }
    }
    assert_true(nfull < (unsigned)share_of(2000));
    for (size_t i = 0; i < N; i++)
        assert_ok(mem_free(heap, live[i].start));
    assert_all_free();
}

static int nvisited;

static bool ends_at_once(const struct mem_piece *p, void *context)
{
    (void)p;
    (void)context;
    nvisited++;
    return false;
}

/* A visitor that ends the walk sees no other part either. */
static void test_a_walk_ends_in_its_part(void **state)
{
    (void)state;
    mem_heap *h = mem_heap_create(2 * MEM_PART_BYTES, NULL);
    if (h == NULL && mem_last_error() == MEM_NO_MEMORY)
        skip();
    assert_non_null(mem_alloc(h, 60 * GIB));
    assert_non_null(mem_alloc(h, 60 * GIB));
    nvisited = 0;
    assert_ok(mem_walk(h, ends_at_once, NULL));
    assert_int_equal(nvisited, 1);
    assert_ok(mem_heap_destroy(h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_costs),
        cmocka_unit_test(test_what_is_refused_opens_no_part),
        cmocka_unit_test(test_a_limit),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_small_objects),
        cmocka_unit_test(test_resizing),
        cmocka_unit_test(test_styles),
        cmocka_unit_test(test_a_walk_ends_in_its_part),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_damaged_number_of_parts),
        cmocka_unit_test(test_threads_and_fork),
        /* These open all parts, whose pages are counted after each test that follows. */
        cmocka_unit_test(test_all_parts),
        cmocka_unit_test(test_at_random),
        cmocka_unit_test(test_sizes),
    };
    if (!mappings_are_cheap()) {
        puts("1..1\nok 1 # SKIP mappings of this size take too long, or cannot be had");
        return 0;
    }
    return cmocka_run_group_tests(tests, open_it, close_it);
}

/* SPDX-License-Identifier: MIT
 *
 * h03_allocation.c - checks separate heaps (mem_heap.h).
 *
 * Without slots, each placement in several heaps at once is compared with model.c. With any
 * calls, heaps of any size are compared with a map of the owner of each granule. Then follow
 * every mistake and its error, the options, and many small heaps.
 */
#include "unit.h"

#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem_heap.h"
#include "model.h"

static uint64_t dice = 7;

enum { MIB = 1 << 20, LARGE = 24 * MIB, NHEAPS = 6, NOBJECTS = 1000 };
static _Alignas(4096) unsigned char memory[LARGE];

#define assert_ok(call) assert_int_equal((call), MEM_OK)

/* --- compared with the model --------------------------------------------------- */

struct modelled {
    mem_heap *heap;
    unsigned char *base; /* The start of the region that the model knows. */
    struct model model;
    unsigned char *held[NOBJECTS];
    size_t size[NOBJECTS];
    int n;
};
static struct modelled modelled[NHEAPS];
static size_t nplaced, nfull, nrefused;

/* The first object of a new heap lies where the region begins. */
static unsigned char *base_of(mem_heap *heap)
{
    unsigned char *p = mem_alloc(heap, 1);
    assert_non_null(p);
    assert_ok(mem_free(heap, p));
    return p;
}

static void open_modelled(struct modelled *m, unsigned char *buffer, size_t nbytes, unsigned flags)
{
    struct mem_options options = {.flags = flags};
    memset(buffer, 0xEE, nbytes);
    m->heap = mem_heap_in(buffer, nbytes, &options);
    assert_non_null(m->heap);
    m->base = base_of(m->heap);
    assert_true(m->base - buffer < 200);
    model_open(&m->model, nbytes / 16 * 16 - (size_t)(m->base - buffer));
    m->n = 0;
}

static void place_modelled(struct modelled *m, size_t size)
{
    static const enum model_fit expected[] = {[MEM_ANY_FIT] = MODEL_BEST,
                                              [MEM_BEST_FIT] = MODEL_BEST,
                                              [MEM_WORST_FIT] = MODEL_WORST,
                                              [MEM_FIRST_FIT] = MODEL_FIRST};
    enum mem_style style = (enum mem_style)rnd(&dice, 4);
    ptrdiff_t at = model_alloc(&m->model, size, expected[style]);
    unsigned char *p =
        style == MEM_ANY_FIT ? mem_alloc(m->heap, size) : mem_alloc_fit(m->heap, size, 1, style);
    if (at < 0) {
        assert_null(p);
        assert_true(mem_last_error() == MEM_NO_SPACE || mem_last_error() == MEM_TOO_LARGE);
        nfull++;
        return;
    }
    assert_ptr_equal(p, m->base + at);
    memset(p, (int)size, size);
    m->held[m->n] = p;
    m->size[m->n++] = size;
    nplaced++;
}

static void free_modelled(struct modelled *m, int i)
{
    unsigned char *p = m->held[i];
    size_t into = rnd(&dice, (uint32_t)m->size[i]);
    for (size_t k = 0; k < m->size[i]; k++)
        assert_int_equal(p[k], (unsigned char)m->size[i]);
    assert_true(model_free(&m->model, (size_t)(p - m->base)));
    if (into > 0)
        assert_int_equal(mem_free(m->heap, p + into), MEM_INSIDE);
    assert_ok(into > 0 ? mem_free_any(m->heap, p + into) : mem_free(m->heap, p));
    m->held[i] = m->held[--m->n];
    m->size[i] = m->size[m->n];
}

/* Asks this heap for an address in any of the heaps. */
static void poke_modelled(struct modelled *m, unsigned char *from, size_t nbytes)
{
    unsigned char *p = from + rnd(&dice, (uint32_t)nbytes);
    struct mem_piece found;
    const struct model_chunk *c =
        p >= m->base ? model_find(&m->model, (size_t)(p - m->base)) : NULL;
    enum mem_result result = mem_find_in(m->heap, p, &found);
    if (c != NULL) {
        assert_ok(result);
        assert_true(found.live && found.start == m->base + c->start && found.size == c->size);
        return;
    }
    assert_true(result != MEM_OK || !found.live);
    if (result == MEM_OK)
        assert_true((unsigned char *)found.start <= p &&
                    p < (unsigned char *)found.start + found.size);
    enum mem_result refused = mem_free_any(m->heap, p);
    assert_int_equal(refused, result == MEM_OK ? MEM_FREE : result);
    assert_int_equal(mem_free(m->heap, p), refused);
    nrefused++;
}

static void history(size_t nbytes, int ncalls)
{
    size_t stride = (nbytes + 4095) / 4096 * 4096, offset = 16 * rnd(&dice, 3);
    for (int i = 0; i < NHEAPS; i++)
        open_modelled(&modelled[i], memory + (size_t)i * stride * 2 + offset, nbytes,
                      i % 2 ? MEM_SINGLE_THREADED : 0);
    uint32_t size_max = (uint32_t)nbytes / 2 >> rnd(&dice, 6);
    for (int k = 0; k < ncalls; k++) {
        struct modelled *m = &modelled[rnd(&dice, NHEAPS)];
        if (m->n > 0 && (m->n == NOBJECTS || rnd(&dice, 100) < (k / 100 % 2 ? 60u : 30u)))
            free_modelled(m, (int)rnd(&dice, (uint32_t)m->n));
        else
            place_modelled(m, 1 + rnd(&dice, size_max));
        poke_modelled(m, memory, stride * 2 * NHEAPS);
    }
    for (int i = 0; i < NHEAPS; i++) {
        struct modelled *m = &modelled[i];
        assert_ok(mem_check(m->heap, NULL));
        while (m->n > 0)
            free_modelled(m, 0);
        assert_ok(mem_check(m->heap, NULL));
        assert_ok(mem_heap_destroy(m->heap));
        assert_int_equal(mem_check(m->heap, NULL), MEM_NO_HEAP);
    }
}

static void test_every_placement_is_the_models(void **state)
{
    (void)state;
    for (size_t nbytes = 256; nbytes < 1400; nbytes += 8)
        history(nbytes, 300);
    for (size_t nbytes = 1400; nbytes < MIB; nbytes = nbytes * 5 / 3)
        history(nbytes, 3000);
    assert_true(nplaced > 20000 && nfull > 2000 && nrefused > 20000);
}

/* --- any calls, in heaps of any size ------------------------------------------ */

struct owned {
    unsigned char *start;
    size_t size;
};
static struct owned owned[NOBJECTS + 1];
static int nowned;
static uint16_t owner[LARGE / 16];
static size_t live_bytes, peak_bytes, ngrown, nmoved, naligned;

static size_t granules_of(size_t size)
{
    return size == 0 ? 1 : (size + 15) / 16;
}

static void own(const unsigned char *from, size_t first, size_t end, int expected, int id)
{
    size_t at = (size_t)(from - memory) / 16;
    for (size_t g = at + first; g < at + end; g++) {
        assert_int_equal(owner[g], expected);
        owner[g] = (uint16_t)id;
    }
}

static void assert_holds(const struct owned *o, int i, size_t size)
{
    for (size_t k = 0; k < size; k++)
        assert_int_equal(o->start[k], i % 251 + 1);
}

static void count_owned(size_t more, size_t less)
{
    live_bytes = live_bytes + more - less;
    peak_bytes = live_bytes > peak_bytes ? live_bytes : peak_bytes;
}

static void owned_take(mem_heap *heap, size_t size)
{
    size_t align = rnd(&dice, 3) ? 1 : (size_t)1 << rnd(&dice, 13);
    bool zero = align == 1 && rnd(&dice, 2);
    unsigned char *p = zero        ? mem_zalloc(heap, size)
                       : align > 1 ? mem_aligned(heap, size, align)
                                   : mem_alloc_fit(heap, size, 1, (enum mem_style)rnd(&dice, 4));
    if (p == NULL)
        return;
    assert_int_equal((uintptr_t)p % (align > 16 ? align : 16), 0);
    for (size_t k = 0; zero && k < size; k++)
        assert_int_equal(p[k], 0);
    owned[++nowned] = (struct owned){p, size};
    own(p, 0, granules_of(size), 0, nowned);
    memset(p, nowned % 251 + 1, size);
    count_owned(size, 0);
    naligned += align > 16;
}

static void owned_resize(mem_heap *heap, int i, size_t size)
{
    struct owned *o = &owned[i];
    size_t keep = o->size < size ? o->size : size;
    unsigned char *p = mem_resize(heap, o->start, size);
    if (p == NULL) {
        assert_holds(o, i, o->size);
        return;
    }
    own(o->start, 0, granules_of(o->size), i, 0);
    nmoved += p != o->start;
    ngrown += p == o->start && size > o->size;
    count_owned(size, o->size);
    *o = (struct owned){p, size};
    own(p, 0, granules_of(size), 0, i);
    assert_holds(o, i, keep);
    memset(p, i % 251 + 1, size);
}

static void owned_free(mem_heap *heap, int i)
{
    struct owned *o = &owned[i], *last = &owned[nowned];
    assert_holds(o, i, o->size);
    assert_ok(mem_free(heap, o->start));
    assert_int_equal(mem_free(heap, o->start), MEM_FREE);
    own(o->start, 0, granules_of(o->size), i, 0);
    count_owned(0, o->size);
    if (o != last) {
        *o = *last;
        own(o->start, 0, granules_of(o->size), nowned, i);
        memset(o->start, i % 251 + 1, o->size);
    }
    nowned--;
}

/* Checks the answer for any address against the map. All of a free piece must give one answer. */
static void ask_anywhere(mem_heap *heap, size_t nbytes)
{
    struct mem_piece found = {0}, again = {0};
    unsigned char *p = memory + rnd(&dice, (uint32_t)nbytes);
    const struct owned *o = &owned[owner[(p - memory) / 16]];
    bool live = o != owned && (p == o->start || (size_t)(p - o->start) < o->size);
    enum mem_result result = mem_find_in(heap, p, &found);
    assert_int_equal(live, result == MEM_OK && found.live);
    if (live)
        assert_true(found.start == o->start && found.size == o->size);
    if (live || result != MEM_OK)
        return;
    unsigned char *start = found.start;
    assert_true(o == owned && start <= p && p < start + found.size);
    assert_ok(mem_find_in(heap, start, &again));
    assert_true(again.start == start && again.size == found.size && !again.live);
    assert_ok(mem_find_in(heap, start + found.size - 1, &again));
    assert_true(again.start == start && again.size == found.size && !again.live);
    for (size_t k = 0; k < found.size / 16 && k < 4096; k++)
        assert_int_equal(owner[(start - memory) / 16 + (ptrdiff_t)k], 0);
}

struct seen {
    const unsigned char *end;
    size_t nlive, live, nfree, free;
};

static bool see(const struct mem_piece *piece, void *context)
{
    struct seen *s = context;
    const unsigned char *p = piece->start;
    size_t g = (size_t)(p - memory) / 16;
    assert_true(p >= s->end);
    s->end = p + piece->size;
    if (piece->live) {
        assert_ptr_equal(owned[owner[g]].start, p);
        assert_int_equal(owned[owner[g]].size, piece->size);
        s->nlive++;
        s->live += piece->size;
        return true;
    }
    for (size_t k = 0; k < granules_of(piece->size); k++)
        assert_int_equal(owner[g + k], 0);
    s->nfree++;
    s->free += piece->size;
    return true;
}

static void assert_all_seen(mem_heap *heap, size_t nbytes)
{
    struct seen seen = {.end = memory};
    struct mem_statistics stats;
    assert_ok(mem_check(heap, NULL));
    assert_ok(mem_walk(heap, see, &seen));
    assert_ok(mem_stats(heap, &stats));
    assert_int_equal(seen.nlive, nowned);
    assert_int_equal(seen.live, live_bytes);
    assert_int_equal(stats.live_objects, nowned);
    assert_int_equal(stats.live_bytes, live_bytes);
    assert_int_equal(stats.peak_bytes, peak_bytes);
    assert_int_equal(stats.free_chunks, seen.nfree);
    assert_int_equal(stats.free_bytes, seen.free);
    assert_int_equal(stats.region_bytes, nbytes);
    assert_int_equal(stats.region_bytes, stats.live_bytes + stats.slack_bytes + stats.free_bytes +
                                             stats.metadata_bytes);
}

/* When everything was freed, the memory is one chunk and can be allocated as one object. */
static void assert_whole(mem_heap *heap, size_t largest)
{
    struct mem_statistics stats;
    assert_ok(mem_stats(heap, &stats));
    assert_int_equal(stats.free_chunks, 1);
    assert_int_equal(stats.largest_free, largest);
    assert_null(mem_alloc(heap, largest + 1));
    assert_ok(mem_free(heap, mem_alloc(heap, largest)));
}

static void any_calls(size_t nbytes, unsigned flags, int ncalls)
{
    struct mem_options options = {.flags = flags, .fill_new = 0xAA, .fill_freed = 0xDD};
    struct mem_statistics stats;
    memset(owner, 0, sizeof owner);
    mem_heap *heap = mem_heap_in(memory, nbytes, &options);
    assert_ok(mem_stats(heap, &stats));
    size_t largest = stats.largest_free;
    live_bytes = peak_bytes = 0;
    for (int k = 0; k < ncalls; k++) {
        uint32_t what = rnd(&dice, 100), percent = k / 200 % 2 ? 60 : 30;
        size_t size = rnd(&dice, 2 + (uint32_t)(nbytes / 4 >> rnd(&dice, 16)));
        if (nowned == NOBJECTS || (what < percent && nowned > 0))
            owned_free(heap, 1 + (int)rnd(&dice, (uint32_t)nowned));
        else if (what % 3 == 0 && nowned > 0)
            owned_resize(heap, 1 + (int)rnd(&dice, (uint32_t)nowned), size);
        else
            owned_take(heap, size);
        ask_anywhere(heap, nbytes / 16 * 16);
        if (k % (ncalls / 10) == 0)
            assert_all_seen(heap, nbytes / 16 * 16);
    }
    while (nowned > 0)
        owned_free(heap, 1 + (int)rnd(&dice, (uint32_t)nowned));
    assert_all_seen(heap, nbytes / 16 * 16);
    assert_whole(heap, largest);
    assert_ok(mem_heap_destroy(heap));
}

static void test_any_calls(void **state)
{
    (void)state;
    size_t end = mappings_are_cheap() ? LARGE : LARGE / 8; /* An emulator gets smaller heaps. */
    for (size_t nbytes = 256; nbytes < end; nbytes = nbytes * 4 / 3)
        any_calls(nbytes, rnd(&dice, 8), nbytes < MIB ? 2000 : 500);
    any_calls(LARGE, 0, 2000);
    assert_true(ngrown > 100 && nmoved > 100 && naligned > 100);
}

/* The bytes behind the last slot of a span belong to no object. */
static void test_left_over_behind_slots(void **state)
{
    (void)state;
    enum { SIZE = 896, SLICE = 8192, N = SLICE / SIZE };
    struct mem_piece found;
    mem_heap *heap = mem_heap_in(memory, 3 * MIB, NULL);
    unsigned char *first = mem_alloc(heap, SIZE), *last = first, *rest = first + N * SIZE;
    assert_int_equal((uintptr_t)first % SLICE, 0);
    for (int i = 1; i < N; i++)
        last = mem_alloc(heap, SIZE);
    assert_ptr_equal(last, rest - SIZE);
    assert_ok(mem_free(heap, last));
    assert_int_equal(mem_free(heap, rest - 1), MEM_FREE);
    for (unsigned char *p = rest; p < first + SLICE; p++) {
        assert_int_equal(mem_free_any(heap, p), MEM_NO_OBJECT);
        assert_int_equal(mem_find_in(heap, p, &found), MEM_NO_OBJECT);
    }
    assert_ok(mem_heap_destroy(heap));
}

/* An object moves from a slot to a much smaller one: the bytes behind the smaller slot are not
 * written to. */
static void test_moved_to_a_smaller_slot(void **state)
{
    (void)state;
    memset(memory, 0x11, 8 * MIB);
    mem_heap *heap = mem_heap_in(memory, 8 * MIB, NULL);
    unsigned char *large = mem_alloc(heap, 2000);
    memset(large, 0xEE, 2000);
    unsigned char *small = mem_resize(heap, large, 100);
    assert_true(small != large && small[0] == 0xEE && small[99] == 0xEE);
    assert_true(small[100] == 0x11 && small[112] == 0x11);
    assert_ok(mem_heap_destroy(heap));
}

/* --- mappings ------------------------------------------------------------------ */

static void test_mappings(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t max = mappings_are_cheap() ? MEM_HEAP_MAX : (size_t)1 << 32;
    for (size_t nbytes = 1; nbytes <= max; nbytes *= 2) {
        struct mem_statistics stats;
        mem_heap *heap = mem_heap_create(nbytes, NULL);
        if (heap == NULL && mem_last_error() == MEM_NO_MEMORY && nbytes > (size_t)1 << 32)
            break; /* The machine does not grant larger heaps. */
        assert_ok(mem_stats(heap, &stats));
        assert_int_equal(stats.region_bytes, (nbytes + page - 1) / page * page);
        bool parts = stats.region_bytes > MEM_PART_BYTES;
        size_t header = nbytes > 1 << 20 ? 4096 : 512;
        assert_true(stats.largest_free + header >= (parts ? MEM_PART_BYTES : stats.region_bytes));
        char *p = mem_alloc_fit(heap, stats.largest_free, 1, MEM_BEST_FIT);
        assert_non_null(p);
        p[0] = p[stats.largest_free - 1] = 1;
        assert_ok(mem_free_any(heap, p + stats.largest_free - 1));
        assert_ok(mem_heap_destroy(heap));
    }
}

/* Pages become resident when they are touched; in large heaps, some at a time. */
static void test_what_is_resident(void **state)
{
    (void)state;
    enum { ALL = 128 * MIB, MUCH = 64 * MIB, LITTLE = 8 * MIB };
    struct mem_statistics stats;
    mem_heap *heap = mem_heap_create(ALL, NULL);
    assert_ok(mem_stats(heap, &stats));
    assert_in_range(stats.resident_bytes, 1, LITTLE);
    char *object = mem_alloc(heap, MUCH);
    memset(object, 1, MUCH);
    assert_ok(mem_stats(heap, &stats));
    assert_in_range(stats.resident_bytes, MUCH, MUCH + LITTLE);
    assert_ok(mem_heap_destroy(heap));
    heap = mem_heap_in(memory, 4096, NULL);
    assert_ok(mem_stats(heap, &stats));
    assert_int_equal(stats.resident_bytes, 4096);
    assert_ok(mem_heap_destroy(heap));
}

static void test_a_thousand_heaps(void **state)
{
    (void)state;
    enum { N = 1000, EACH = 20 };
    static mem_heap *heap[2 * N];
    static unsigned char *object[2 * N][EACH];
    for (int i = 0; i < 2 * N; i++)
        heap[i] = i % 2 ? mem_heap_create(4096, NULL) : mem_heap_in(memory + i * 4096, 4096, NULL);
    for (int k = 0; k < EACH; k++)
        for (int i = 0; i < 2 * N; i++) {
            object[i][k] = mem_alloc(heap[i], 100);
            memset(object[i][k], i % 255, 100);
        }
    for (int i = 0; i < 2 * N; i++)
        for (int k = 0; k < EACH; k++) {
            assert_int_equal(object[i][k][0], i % 255);
            assert_int_equal(object[i][k][99], i % 255);
            assert_int_equal(mem_free(heap[(i + 1) % (2 * N)], object[i][k]),
                             i + 1 < 2 * N ? MEM_NOT_OURS : MEM_NO_HEAP);
            assert_ok(mem_free_any(heap[i], object[i][k] + 50));
            if (k == EACH - 1)
                assert_ok(mem_heap_destroy(heap[i]));
        }
}

/* --- mistakes ------------------------------------------------------------------- */

static bool stop_at_once(const struct mem_piece *piece, void *context)
{
    (void)piece;
    ++*(int *)context;
    return false;
}

static bool call_from_visit(const struct mem_piece *piece, void *context)
{
    struct mem_statistics stats;
    mem_heap *heap = context;
    assert_int_equal(mem_free(heap, piece->start), MEM_BUSY);
    assert_null(mem_alloc(heap, 1));
    assert_int_equal(mem_last_error(), MEM_BUSY);
    assert_int_equal(mem_stats(heap, &stats), MEM_BUSY);
    assert_int_equal(mem_heap_destroy(heap), MEM_BUSY);
    return true;
}

#define assert_null_for(why, call)                                                                 \
    do {                                                                                           \
        assert_null(call);                                                                         \
        assert_int_equal(mem_last_error(), why);                                                   \
    } while (0)

static void test_no_heap(void **state)
{
    (void)state;
    struct mem_statistics stats;
    struct mem_piece piece;
    int n = 0;
    memset(memory, 0x55, 4096);
    mem_heap *none[] = {NULL, (mem_heap *)(void *)memory, (mem_heap *)(void *)(memory + 8)};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_null_for(MEM_NO_HEAP, mem_alloc(none[i], 1));
        assert_null_for(MEM_NO_HEAP, mem_zalloc(none[i], 1));
        assert_null_for(MEM_NO_HEAP, mem_aligned(none[i], 1, 64));
        assert_null_for(MEM_NO_HEAP, mem_alloc_fit(none[i], 1, 1, MEM_FIRST_FIT));
        assert_null_for(MEM_NO_HEAP, mem_resize(none[i], memory, 1));
        assert_null_for(MEM_NO_HEAP, mem_resize(none[i], NULL, 1));
        assert_int_equal(mem_free(none[i], memory), MEM_NO_HEAP);
        assert_int_equal(mem_free(none[i], NULL), MEM_NO_HEAP);
        assert_int_equal(mem_free_any(none[i], memory), MEM_NO_HEAP);
        assert_int_equal(mem_find_in(none[i], memory, &piece), MEM_NO_HEAP);
        assert_int_equal(mem_walk(none[i], stop_at_once, &n), MEM_NO_HEAP);
        assert_int_equal(mem_stats(none[i], &stats), MEM_NO_HEAP);
        assert_int_equal(mem_check(none[i], NULL), MEM_NO_HEAP);
        assert_int_equal(mem_heap_destroy(none[i]), MEM_NO_HEAP);
    }
    assert_int_equal(n, 0);
}

static void test_no_such_heap_is_made(void **state)
{
    (void)state;
    struct mem_options flags = {.flags = 1u << 31}, style = {.style = (enum mem_style)4};
    assert_null_for(MEM_BAD_SIZE, mem_heap_create(0, NULL));
    assert_null_for(MEM_TOO_LARGE, mem_heap_create(MEM_HEAP_MAX + 1, NULL));
    assert_null_for(MEM_TOO_LARGE, mem_heap_create(SIZE_MAX, NULL));
    assert_null_for(MEM_BAD_OPTIONS, mem_heap_create(4096, &flags));
    assert_null_for(MEM_BAD_OPTIONS, mem_heap_create(4096, &style));
    assert_null_for(MEM_BAD_BUFFER, mem_heap_in(NULL, 4096, NULL));
    assert_null_for(MEM_BAD_BUFFER, mem_heap_in(memory + 8, 4096, NULL));
    assert_null_for(MEM_BAD_SIZE, mem_heap_in(memory, 255, NULL));
    assert_null_for(MEM_BAD_SIZE, mem_heap_in(memory, 0, NULL));
    assert_null_for(MEM_TOO_LARGE, mem_heap_in(memory, SIZE_MAX, NULL));
    assert_null_for(MEM_BAD_OPTIONS, mem_heap_in(memory, 4096, &flags));
    assert_null_for(MEM_BAD_OPTIONS, mem_heap_in(memory, 4096, &style));
}

static void mistakes(unsigned flags, size_t nbytes)
{
    struct mem_options options = {.flags = flags};
    mem_heap *heap = mem_heap_in(memory, nbytes, &options);
    mem_heap *other = mem_heap_in(memory + nbytes, 4096, NULL);
    char *p = mem_alloc(heap, 100), *q = mem_alloc(other, 100), *was = mem_alloc(heap, 300);
    int nvisits = 0;
    assert_ok(mem_free(heap, was));
    assert_null_for(MEM_TOO_LARGE, mem_alloc(heap, SIZE_MAX));
    assert_null_for(MEM_TOO_LARGE, mem_zalloc(heap, (size_t)PTRDIFF_MAX + 1));
    assert_null_for(MEM_TOO_LARGE, mem_alloc(heap, nbytes + 1));
    assert_null_for(MEM_NO_SPACE, mem_alloc(heap, nbytes - 16));
    assert_null_for(MEM_NO_SPACE, mem_aligned(heap, 1, (size_t)1 << 40));
    assert_null_for(MEM_NO_SPACE, mem_aligned(heap, 1, (size_t)1 << 63));
    assert_null_for(MEM_BAD_ALIGNMENT, mem_aligned(heap, 1, 0));
    assert_null_for(MEM_BAD_ALIGNMENT, mem_aligned(heap, 1, 24));
    assert_null_for(MEM_BAD_ALIGNMENT, mem_alloc_fit(heap, 1, SIZE_MAX, MEM_BEST_FIT));
    assert_null_for(MEM_BAD_STYLE, mem_alloc_fit(heap, 1, 1, (enum mem_style)4));
    assert_null_for(MEM_BAD_STYLE, mem_alloc_fit(heap, 1, 1, (enum mem_style) - 1));
    assert_null_for(MEM_BAD_STYLE, mem_alloc_fit(heap, 1, 32, MEM_FIRST_FIT));
    assert_null_for(MEM_NOT_OURS, mem_resize(heap, q, 10));
    assert_null_for(MEM_INSIDE, mem_resize(heap, p + 1, 10));
    assert_null_for(MEM_FREE, mem_resize(heap, was, 10));
    assert_null_for(MEM_NO_OBJECT, mem_resize(heap, heap, 10));
    assert_null_for(MEM_TOO_LARGE, mem_resize(heap, p, SIZE_MAX));
    assert_null_for(MEM_NO_SPACE, mem_resize(heap, p, nbytes - 16));
    assert_int_equal(mem_free(heap, q), MEM_NOT_OURS);
    assert_int_equal(mem_free_any(heap, q + 50), MEM_NOT_OURS);
    assert_int_equal(mem_free(heap, &options), MEM_NOT_OURS);
    assert_int_equal(mem_free(heap, p + 1), MEM_INSIDE);
    assert_int_equal(mem_free_any(heap, p + 100), MEM_NO_OBJECT);
    assert_int_equal(mem_free(heap, heap), MEM_NO_OBJECT);
    assert_int_equal(mem_free(heap, memory + nbytes - 1), MEM_NO_OBJECT);
    assert_ok(mem_free(heap, NULL));
    assert_ok(mem_walk(heap, stop_at_once, &nvisits));
    assert_int_equal(nvisits, 1);
    assert_ok(mem_walk(heap, call_from_visit, heap));
    assert_ok(mem_check(heap, NULL));
    assert_ok(mem_free(heap, p));
    assert_int_equal(mem_free(heap, p), MEM_FREE);
    assert_ok(mem_heap_destroy(heap));
    assert_int_equal(mem_free(heap, p), MEM_NO_HEAP);
    assert_ok(mem_free(other, q));
    assert_ok(mem_heap_destroy(other));
}

static void test_mistakes(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 8; flags++) {
        mistakes(flags, 4096);
        mistakes(flags, 2 * MIB);
    }
}

static void test_damage_is_found(void **state)
{
    (void)state;
    mem_heap *heap = mem_heap_in(memory, 4096, NULL);
    for (int i = 0; i < 5; i++)
        assert_non_null(mem_alloc(heap, 100));
    unsigned char was = memory[4095 - 8];
    memory[4095 - 8] ^= 0x40;
    assert_int_equal(mem_check(heap, NULL), MEM_DAMAGED);
    memory[4095 - 8] = was;
    assert_ok(mem_check(heap, NULL));
}

/* Returns the number of bytes of a heap whose change is reported by a call on the heap. */
static size_t count_seen(unsigned flags, bool as_by_check)
{
    enum { NBYTES = 4096 };
    size_t nseen = 0;
    mem_heap *heap = mem_heap_in(memory, NBYTES, &(struct mem_options){.flags = flags});
    void *second = NULL;
    for (int i = 0; i < 5; i++) {
        void *object = mem_alloc(heap, 100);
        second = i == 1 ? object : second;
    }
    assert_ok(mem_free(heap, second));
    for (size_t i = 0; i < NBYTES; i++) {
        memory[i] ^= 0x10;
        enum mem_result result = mem_free(heap, NULL);
        if (as_by_check)
            assert_int_equal(result, mem_check(heap, NULL));
        memory[i] ^= 0x10;
        nseen += result != MEM_OK;
    }
    assert_ok(mem_heap_destroy(heap));
    return nseen;
}

static void test_calls_that_check(void **state)
{
    (void)state;
    size_t nseen = count_seen(MEM_SINGLE_THREADED | MEM_CHECK_CALLS, true);
    size_t nseen_else = count_seen(MEM_SINGLE_THREADED, false);
    assert_true(nseen > nseen_else);
}

static void test_each_result_has_words(void **state)
{
    (void)state;
    for (int i = MEM_OK; i <= MEM_DAMAGED; i++)
        for (int k = MEM_OK; k < i; k++)
            assert_string_not_equal(mem_strerror((enum mem_result)i),
                                    mem_strerror((enum mem_result)k));
    assert_non_null(mem_strerror((enum mem_result)(MEM_DAMAGED + 1)));
    assert_non_null(mem_strerror((enum mem_result) - 1));
}

/* --- options --------------------------------------------------------------------- */

struct script {
    void *reserve; /* Freed by the first call that finds no space. */
    int ncalls, nrefused;
    size_t wanted;
    const void *address;
    enum mem_result why;
};

static bool give_up_reserve(mem_heap *heap, size_t size, void *context)
{
    struct script *s = context;
    void *reserve = s->reserve;
    s->ncalls++;
    s->wanted = size;
    s->reserve = NULL;
    return reserve != NULL && mem_free(heap, reserve) == MEM_OK;
}

static void note(mem_heap *heap, const void *address, enum mem_result why, void *context)
{
    struct script *s = context;
    assert_ok(mem_check(heap, NULL));
    s->nrefused++;
    s->address = address;
    s->why = why;
}

static void test_callbacks(void **state)
{
    (void)state;
    struct script s = {0};
    struct mem_options options = {.on_exhausted = give_up_reserve,
                                  .on_refused = note,
                                  .context = &s};
    mem_heap *heap = mem_heap_in(memory, 4096, &options);
    s.reserve = mem_alloc(heap, 2000);
    assert_non_null(mem_alloc(heap, 2500));
    assert_true(s.ncalls == 1 && s.wanted == 2500 && s.reserve == NULL);
    assert_null_for(MEM_NO_SPACE, mem_alloc(heap, 2501));
    assert_true(s.ncalls == 2 && s.wanted == 2501);
    char *p = mem_alloc(heap, 100);
    assert_int_equal(s.nrefused, 0);
    assert_int_equal(mem_free(heap, p + 7), MEM_INSIDE);
    assert_true(s.nrefused == 1 && s.address == p + 7 && s.why == MEM_INSIDE);
    assert_null_for(MEM_NOT_OURS, mem_resize(heap, &s, 7));
    assert_true(s.nrefused == 2 && s.address == &s && s.why == MEM_NOT_OURS);
    assert_int_equal(mem_free_any(heap, p + 100), MEM_NO_OBJECT);
    assert_int_equal(s.nrefused, 3);
    assert_ok(mem_free(heap, p));
    assert_int_equal(s.nrefused, 3);
}

static void test_a_limit(void **state)
{
    (void)state;
    struct mem_options options = {.limit = 1000};
    struct mem_statistics stats;
    mem_heap *heap = mem_heap_in(memory, 4096, &options);
    void *p = mem_alloc(heap, 600), *q = mem_alloc(heap, 400);
    assert_true(p != NULL && q != NULL);
    assert_null_for(MEM_OVER_LIMIT, mem_alloc(heap, 1));
    assert_null_for(MEM_OVER_LIMIT, mem_resize(heap, p, 601));
    assert_ptr_equal(mem_resize(heap, p, 599), p);
    assert_non_null(mem_resize(heap, q, 401));
    assert_null_for(MEM_OVER_LIMIT, mem_resize(heap, q, 402));
    assert_ok(mem_stats(heap, &stats));
    assert_true(stats.limit == 1000 && stats.live_bytes == 1000 && stats.peak_bytes == 1000);
}

static bool is_all(const unsigned char *p, int c, size_t n)
{
    while (n > 0 && p[n - 1] == c)
        n--;
    return n == 0;
}

static void test_patterns(void **state)
{
    (void)state;
    struct mem_options options = {.flags = MEM_FILL_NEW | MEM_FILL_FREED,
                                  .fill_new = 0xA1,
                                  .fill_freed = 0xD2};
    mem_heap *heap = mem_heap_in(memory, 4096, &options);
    unsigned char *p = mem_alloc(heap, 100), *q = mem_zalloc(heap, 100);
    assert_true(is_all(p, 0xA1, 100) && is_all(q, 0, 100));
    memset(p, 1, 100);
    assert_ok(mem_free(heap, p));
    assert_true(is_all(p, 0xD2, 100));
    assert_ptr_equal(mem_resize(heap, q, 300), q);
    assert_true(is_all(q, 0, 100) && is_all(q + 100, 0xA1, 200));
    assert_ptr_equal(mem_resize(heap, q, 50), q);
    assert_true(is_all(q, 0, 50) && is_all(q + 50, 0xD2, 250));
}

static void test_the_heaps_style(void **state)
{
    (void)state;
    for (enum mem_style style = MEM_ANY_FIT; style <= MEM_FIRST_FIT; style++) {
        struct mem_options options = {.style = style};
        mem_heap *heap = mem_heap_in(memory, 8192, &options);
        char *hole[3];
        /* First fit chooses the first and best fit the second; worst fit chooses the tail. */
        size_t size[3] = {480, 320, 640};
        for (int i = 0; i < 3; i++) {
            hole[i] = mem_alloc_fit(heap, size[i], 1, MEM_FIRST_FIT);
            assert_non_null(mem_alloc_fit(heap, 16, 1, MEM_FIRST_FIT));
        }
        char *end = mem_alloc_fit(heap, 16, 1, MEM_FIRST_FIT);
        for (int i = 0; i < 3; i++)
            assert_ok(mem_free(heap, hole[i]));
        char *p = mem_alloc(heap, 300);
        assert_ptr_equal(p, style == MEM_FIRST_FIT   ? hole[0]
                            : style == MEM_WORST_FIT ? end + 16
                                                     : hole[1]);
    }
}

/* --- no system call ---------------------------------------------------------------- */

/* Runs with only the system calls for writing and exiting allowed. */
static void run_confined(void)
{
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        syscall(SYS_exit, 77);
    bool good = true;
    for (size_t nbytes = 256; nbytes <= LARGE; nbytes += nbytes) {
        mem_heap *heap = mem_heap_in(memory, nbytes, NULL);
        for (int i = 0; i < 200; i++) {
            char *p = mem_alloc(heap, nbytes / 4), *q = mem_aligned(heap, nbytes / 10, 16);
            good &= p != NULL && mem_resize(heap, p, nbytes / 9) != NULL;
            good &= mem_free_any(heap, q) == MEM_OK && mem_free(heap, p) == MEM_OK;
        }
        good &= mem_check(heap, NULL) == MEM_OK && mem_heap_destroy(heap) == MEM_OK;
    }
    syscall(SYS_exit, good ? 0 : 1);
}

static void test_buffers_need_no_system_call(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0)
        run_confined();
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip(); /* The emulator does not support seccomp. */
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_placement_is_the_models),
        cmocka_unit_test(test_any_calls),
        cmocka_unit_test(test_moved_to_a_smaller_slot),
        cmocka_unit_test(test_left_over_behind_slots),
        cmocka_unit_test(test_mappings),
        cmocka_unit_test(test_what_is_resident),
        cmocka_unit_test(test_a_thousand_heaps),
        cmocka_unit_test(test_no_heap),
        cmocka_unit_test(test_no_such_heap_is_made),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_damage_is_found),
        cmocka_unit_test(test_calls_that_check),
        cmocka_unit_test(test_each_result_has_words),
        cmocka_unit_test(test_callbacks),
        cmocka_unit_test(test_a_limit),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_the_heaps_style),
        cmocka_unit_test(test_buffers_need_no_system_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * h03_allocation.c - H3: checks any sequence of calls in heaps of any size against a map of the
 * owner of each granule.
 */
#include "own_heaps.h"

static uint64_t dice = 7;

enum { NOBJECTS = 1000 };

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

/* What lies in many bytes is counted and then asserted once: an assertion is a call. */
static void own(const unsigned char *from, size_t first, size_t end, int expected, int id)
{
    size_t at = (size_t)(from - memory) / 16, nwrong = 0;
    for (size_t g = at + first; g < at + end; g++) {
        nwrong += owner[g] != expected;
        owner[g] = (uint16_t)id;
    }
    assert_int_equal(nwrong, 0);
}

static bool is_unowned(size_t granule, size_t ngranules)
{
    size_t nwrong = 0;
    for (size_t g = granule; g < granule + ngranules; g++)
        nwrong += owner[g] != 0;
    return nwrong == 0;
}

static bool holds(const unsigned char *p, size_t size, int byte)
{
    size_t nwrong = 0;
    for (size_t k = 0; k < size; k++)
        nwrong += p[k] != byte;
    return nwrong == 0;
}

static void assert_holds(const struct owned *o, int i, size_t size)
{
    assert_true(holds(o->start, size, i % 251 + 1));
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
    assert_true(!zero || holds(p, size, 0));
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
    assert_true(
        is_unowned((size_t)(start - memory) / 16, found.size / 16 < 4096 ? found.size / 16 : 4096));
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
    assert_true(is_unowned(g, granules_of(piece->size)));
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
    for (size_t nbytes = 256; nbytes < end; nbytes = nbytes * (share() > 1 ? 6 : 4) / 3)
        any_calls(nbytes, rnd(&dice, 8), share_of(nbytes < MIB ? 2000 : 500));
    any_calls(LARGE, 0, 2000);
    assert_true(ngrown > 100 && nmoved > 100 && naligned > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * room.c - checks what a hardened malloc needs of a heap (core/heap.h): objects with more room than
 * bytes, closed ends of spans [SP8], random slots, and memory that is cleared.
 *
 * os_forbid and os_allow are wrapped, so that the system can refuse them, and os_page_bytes, so
 * that pages can be large.
 */
#include "unit.h"

#include <string.h>
#include <unistd.h>

#include "core/pieces.h"

enum { REGION_BYTES = 1 << 26, NOBJECTS = 3000 };

static struct heap heap;
static struct clean clean;
static unsigned char *region;
static bool refuses_forbid, refuses_allow;
static size_t large_page;
static unsigned nforbidden, nallowed;

bool __real_os_forbid(void *address, size_t nbytes);
bool __real_os_allow(void *address, size_t nbytes);

bool __wrap_os_forbid(void *address, size_t nbytes)
{
    nforbidden++;
    return !refuses_forbid && __real_os_forbid(address, nbytes);
}

bool __wrap_os_allow(void *address, size_t nbytes)
{
    nallowed++;
    return !refuses_allow && __real_os_allow(address, nbytes);
}

size_t __real_os_page_bytes(void);

size_t __wrap_os_page_bytes(void)
{
    return large_page != 0 ? large_page : __real_os_page_bytes();
}

static int open_heap(void **state)
{
    const bool *guard = *state;
    refuses_forbid = refuses_allow = false;
    region = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    heap = (struct heap){.chunks.clean = &clean};
    heap_open_locked(&heap, (struct region){region, REGION_BYTES, true, 0}, NULL);
    (void)heap_close_tcaches_locked(&heap);
    heap_harden_locked(&heap, guard == NULL || *guard, true, 12345);
    nforbidden = nallowed = 0;
    return region == MAP_FAILED;
}

static int close_heap(void **state)
{
    (void)state;
    return munmap(region, REGION_BYTES);
}

/* Whether a byte can be read: the system says so, without a fault. */
static bool is_readable(const void *address)
{
    static int ends[2];
    char byte;
    if (ends[1] == 0)
        assert_int_equal(pipe(ends), 0);
    return write(ends[1], address, 1) == 1 && read(ends[0], &byte, 1) == 1;
}

static void *take(size_t nbytes, size_t room, size_t align)
{
    void *object = NULL;
    size_t got = room;
    assert_int_equal(heap_take_room_locked(&heap, nbytes, &got, align, &object, NULL), HEAP_OK);
    assert_true(got >= room && (uintptr_t)object % align == 0);
    return object;
}

static void give(void *object)
{
    struct object found;
    struct location at;
    assert_int_equal(heap_locate_locked(&heap, object, &found, &at), HEAP_OK);
    heap_free_located_locked(&heap, &at);
}

static void assert_whole(void)
{
    struct recount n;
    assert_null(check_fault_locked(&heap, &n));
}

static size_t random_size(uint64_t *dice)
{
    return rnd(dice, 10) == 0 ? rnd(dice, 40000) : rnd(dice, 1000);
}

/* An object has the size that it was given, whatever its room is, and can be given any other. */
static void test_size_and_room(void **state)
{
    static void *object[NOBJECTS];
    static size_t size[NOBJECTS];
    uint64_t dice = 3;
    (void)state;
    for (int i = 0; i < NOBJECTS; i++) {
        size[i] = random_size(&dice);
        object[i] = take(size[i], size[i] + 24 + (size[i] == 232 ? 1 : 0), 16);
    }
    for (int i = 0; i < NOBJECTS; i++) {
        struct object found;
        struct location at;
        assert_int_equal(heap_locate_locked(&heap, object[i], &found, &at), HEAP_OK);
        assert_int_equal(found.size, size[i]);
        size_t room = location_room(&at);
        bool may_be_empty = room != 256 && room != 65536;
        assert_int_equal(heap_relabel_locked(&heap, &at, 0), may_be_empty);
        assert_int_equal(heap_locate_locked(&heap, object[i], &found, &at), HEAP_OK);
        assert_int_equal(found.size, may_be_empty ? 0 : size[i]);
        assert_int_equal(location_room(&at), room);
        assert_true(heap_relabel_locked(&heap, &at, room - 5));
        assert_int_equal(heap_locate_locked(&heap, (char *)object[i] + room - 6, &found, &at),
                         HEAP_INSIDE);
        assert_int_equal(heap_locate_locked(&heap, (char *)object[i] + room - 5, &found, &at),
                         HEAP_NO_OBJECT);
        assert_ptr_equal(found.start, object[i]);
    }
    assert_whole();
    for (int i = 0; i < NOBJECTS; i++)
        give(object[i]);
    assert_whole();
}

/* Each span ends with a page that cannot be touched, and no object reaches into it. Objects of no
 * byte cannot be touched at all. When all is free, all can be touched again. */
static void test_closed_ends(void **state)
{
    static void *object[NOBJECTS];
    uint64_t dice = 4;
    size_t page = os_page_bytes();
    (void)state;
    if (heap.spans.guard_bytes == 0)
        skip(); /* pages are too large here */
    for (int i = 0; i < NOBJECTS; i++) {
        size_t n = 9 + random_size(&dice);
        object[i] = take(n, n + 8, 16);
        memset(object[i], 1, n + 8); /* a fault if the end is closed */
    }
    void *empty = take(0, GRANULE_BYTES, 16);
    assert_false(is_readable(empty));
    unsigned nspans = 0;
    for (uint32_t slice = 1; slice <= spans_last_slice(&heap.spans); slice++) {
        const struct span *span = pagemap_span(&heap.spans, slice);
        if (span->slot_bytes == 0 || span->purpose != FOR_OBJECTS)
            continue;
        const unsigned char *end = (unsigned char *)pagemap_address(&heap.spans, slice) +
                                   span_nslices(span) * slice_bytes(&heap.spans);
        assert_false(is_readable(end - 1));
        assert_false(is_readable(end - page));
        assert_true(span->sizeclass == CLOSED_CLASS || is_readable(end - page - 1));
        nspans++;
    }
    assert_int_equal(nforbidden, nspans);
    assert_true(nspans > 20);
    assert_whole();
    for (int i = 0; i < NOBJECTS; i++)
        give(object[i]);
    give(empty);
    heap_trim(&heap);
    assert_int_equal(heap.spans.nheld, 0);
    assert_int_equal(nallowed, nspans);
    for (unsigned char *p = region; p < region + REGION_BYTES; p += page)
        assert_true(is_readable(p));
}

/* A span whose end cannot be opened stays, is used again, and goes when the system opens it. */
static void test_refusals(void **state)
{
    void *object[100];
    (void)state;
    if (heap.spans.guard_bytes == 0)
        skip();
    refuses_forbid = true;
    for (int i = 0; i < 100; i++)
        object[i] = take(600, 608, 16);
    for (int i = 0; i < 100; i++)
        give(object[i]);
    assert_whole();
    refuses_forbid = false;
    heap_trim(&heap);
    assert_int_equal(heap.spans.nheld, 0);
    refuses_allow = true;
    for (int i = 0; i < 100; i++)
        object[i] = take(600, 608, 16);
    for (int i = 0; i < 100; i++)
        give(object[i]);
    heap_trim(&heap);
    assert_true(heap.spans.nheld > 0);
    assert_whole();
    void *again = take(600, 608, 16);
    memset(again, 1, 608);
    give(again);
    refuses_allow = false;
    heap_trim(&heap);
    assert_int_equal(heap.spans.nheld, 0);
    assert_whole();
}

/* In 100 objects of one class about half lie below the one before, and no order comes twice. */
static void test_random_slots(void **state)
{
    enum { N = 100 };
    unsigned char *first[N];
    int ndown = 0, nequal = 0;
    (void)state;
    for (int i = 0; i < N; i++)
        first[i] = take(100, 108, 16);
    for (int i = 1; i < N; i++)
        ndown += first[i] < first[i - 1];
    for (int i = 0; i < N; i++)
        nequal += (unsigned char *)take(100, 108, 16) == first[i] + N * 112;
    assert_true(ndown > N / 4 && ndown < 3 * N / 4);
    assert_true(nequal < N / 4);
}

/* Where objects were cleared before they were freed, all memory that is handed out is zero: the
 * library's own slots were cleared as well. */
static void test_memory_is_zero(void **state)
{
    enum { NLIVE = 300 };
    static unsigned char *object[NLIVE];
    static size_t size[NLIVE], ndirty;
    uint64_t dice = 5;
    (void)state;
    for (int i = 0; i < 60000; i++) {
        uint32_t k = rnd(&dice, NLIVE);
        if (object[k] != NULL) {
            memset(object[k], 0, size[k]);
            give(object[k]);
        }
        size[k] = random_size(&dice) + 1;
        object[k] = take(size[k], size[k] + 16, 16);
        for (size_t at = 0; at < size[k]; at++)
            ndirty += object[k][at] != 0;
        memset(object[k], 0xff, size[k]);
        if (i % 1000 == 0)
            heap_trim(&heap);
    }
    assert_int_equal(ndirty, 0);
}

/* Beyond a GiB of spans no ends are closed, since each takes two mappings. */
static void test_many_spans(void **state)
{
    enum { GIB = (1 << 30) / SLICE_BYTES };
    (void)state;
    if (heap.spans.guard_bytes == 0)
        skip();
    void *first = take(600, 608, 16);
    unsigned nclosed = nforbidden;
    assert_true(nclosed > 0);
    heap.spans.nheld += GIB;
    void *second = take(1200, 1208, 16);
    heap.spans.nheld -= GIB;
    assert_int_equal(nforbidden, nclosed);
    give(first);
    give(second);
    assert_whole();
}

/* The ends of spans are closed only where a page is a quarter of a slice or less. */
static void test_large_pages(void **state)
{
    (void)state;
    heap.spans.guard_bytes = 0;
    large_page = SLICE_BYTES / 2;
    heap_harden_locked(&heap, true, true, 1);
    large_page = 0;
    assert_int_equal(heap.spans.guard_bytes, 0);
    large_page = SLICE_BYTES / 4;
    heap_harden_locked(&heap, true, true, 1);
    large_page = 0;
    assert_int_equal(heap.spans.guard_bytes, SLICE_BYTES / 4);
}

/* The counters say what such an object has been given and what was given back, and nothing of what
 * was refused. */
static void test_counters(void **state)
{
    static struct counters counters;
    static void *object[NOBJECTS];
    static size_t size[NOBJECTS];
    struct object found;
    struct location at;
    uint64_t dice = 6, live = 0;
    (void)state;
    counters = (struct counters){0};
    assert_true(heap_count_locked(&heap, &counters));
    for (int i = 0; i < NOBJECTS; i++) {
        size[i] = random_size(&dice);
        object[i] = take(size[i], size[i] + 8, 16);
        live += size[i];
    }
    assert_int_equal(counters.nallocated, NOBJECTS);
    assert_int_equal(counters.live_bytes, live);
    size_t room = REGION_BYTES;
    void *none = NULL;
    assert_int_equal(heap_take_room_locked(&heap, 1, &room, 16, &none, NULL), HEAP_NO_SPACE);
    assert_int_equal(counters.nallocated, NOBJECTS);
    for (int i = 0; i < NOBJECTS; i++) {
        assert_int_equal(heap_locate_locked(&heap, object[i], &found, &at), HEAP_OK);
        assert_true(heap_relabel_locked(&heap, &at, size[i] + 1));
        assert_int_equal(counters.nresized, (unsigned)i + 1);
        assert_int_equal(counters.live_bytes, ++live);
    }
    for (int i = 0; i < NOBJECTS; i++) {
        give(object[i]);
        live -= size[i] + 1;
        assert_int_equal(counters.nfreed, (unsigned)i + 1);
        assert_int_equal(counters.live_bytes, live);
    }
    assert_int_equal(counters.nlive, 0);
}

/* A label is not written where there is no object any longer, nor where the record is damaged. */
static void test_a_label_without_an_object(void **state)
{
    struct object found;
    struct location at;
    (void)state;
    void *slot = take(100, 108, 16), *chunk = take(100000, 100016, 16);
    assert_int_equal(heap_locate_locked(&heap, slot, &found, &at), HEAP_OK);
    give(slot);
    assert_true(at.in_span);
    assert_false(heap_relabel_locked(&heap, &at, 90));
    assert_int_equal(heap_locate_locked(&heap, slot, &found, &at), HEAP_FREE);
    assert_int_equal(heap_locate_locked(&heap, chunk, &found, &at), HEAP_OK);
    uint64_t damage = word_of(at.place.chunk.start, CHUNK_RESERVED - 1);
    btree_update(&heap.chunks.ledger.b, &at.place.cursor, damage);
    assert_false(heap_relabel_locked(&heap, &at, 90000));
    assert_int_equal(cursor_word(&at.place.cursor), damage);
}

/* A record counts slack with 32 bits: an object that would have more is not made, and none gets so
 * much. */
static void test_four_gib_of_slack(void **state)
{
    static struct heap large;
    const size_t gib = (size_t)1 << 30, nbytes = 9 * gib, least = 5 * gib - LEDGER_RESERVED + 1;
    size_t room = 5 * gib;
    void *object;
    struct object found;
    struct location at;
    (void)state;
    if (!mappings_are_cheap())
        skip();
    unsigned char *base = mmap(NULL, nbytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(base != MAP_FAILED);
    heap_open_locked(&large, (struct region){base, nbytes, true, 0}, NULL);
    (void)heap_close_tcaches_locked(&large);
    uint32_t live = large.chunks.ledger.live_granules;
    for (size_t n = 0; n < least; n = 2 * n + 1)
        assert_int_equal(heap_take_room_locked(&large, n, &room, 16, &object, NULL), HEAP_NO_SPACE);
    room = 5 * gib;
    assert_int_equal(heap_take_room_locked(&large, least - 1, &room, 16, &object, NULL),
                     HEAP_NO_SPACE);
    assert_int_equal(large.chunks.ledger.live_granules, live);
    room = 5 * gib;
    assert_int_equal(heap_take_room_locked(&large, 2 * gib, &room, 16, &object, NULL), HEAP_OK);
    assert_int_equal(room, 5 * gib);
    assert_int_equal(heap_locate_locked(&large, object, &found, &at), HEAP_OK);
    assert_false(heap_relabel_locked(&large, &at, least - 1));
    assert_int_equal(heap_locate_locked(&large, object, &found, &at), HEAP_OK);
    assert_int_equal(found.size, 2 * gib);
    assert_true(heap_relabel_locked(&large, &at, least));
    assert_int_equal(heap_locate_locked(&large, object, &found, &at), HEAP_OK);
    assert_int_equal(found.size, least);
    munmap(base, nbytes);
}

/* Of an object whose room is clean only behind its last byte, nothing is said to be zero. */
static void test_only_the_slack_is_clean(void **state)
{
    enum { DIRTY = 4096, ROOM = 200000 };
    void *object;
    struct object zero;
    (void)state;
    for (size_t nbytes = 0; nbytes <= 3 * DIRTY; nbytes += DIRTY / 2) {
        assert_int_equal(heap_take(&heap, DIRTY, FIT_BEST, &object), HEAP_OK);
        memset(object, 1, DIRTY);
        assert_int_equal(heap_free(&heap, object), HEAP_OK);
        size_t room = ROOM;
        assert_int_equal(heap_take_room_locked(&heap, nbytes, &room, 16, &object, &zero), HEAP_OK);
        assert_int_equal(zero.size, nbytes > DIRTY ? nbytes - DIRTY : 0);
        if (nbytes > DIRTY)
            assert_ptr_equal(zero.start, (char *)object + DIRTY);
    }
}

/* A hole of one page goes back to the system, and reads as zero then; what is behind it does not
 * count as zero. */
static void test_the_shortest_hole_goes_back(void **state)
{
    (void)state;
    size_t page = os_page_bytes(), nbytes = 40 * page;
    unsigned char *object = take(nbytes, nbytes, page), *hole = object + nbytes - page;
    take(nbytes, nbytes, page); /* behind it */
    memset(hole, 1, page);
    assert_int_equal(heap_resize(&heap, object, nbytes - page, true), HEAP_OK);
    heap_trim(&heap);
    assert_true(hole[0] == 0 && hole[page - 1] == 0);
    uint32_t from = (uint32_t)((hole - region) / GRANULE_BYTES), n = (uint32_t)page / GRANULE_BYTES;
    assert_int_equal(clean_count(&clean, from, from + 2 * n), n);
    assert_whole();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_size_and_room, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(test_closed_ends, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(test_refusals, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(test_random_slots, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(test_memory_is_zero, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(test_many_spans, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(test_large_pages, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(test_counters, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(test_a_label_without_an_object, open_heap, close_heap),
        cmocka_unit_test(test_four_gib_of_slack),
        cmocka_unit_test_setup_teardown(test_only_the_slack_is_clean, open_heap, close_heap),
        cmocka_unit_test_setup_teardown(test_the_shortest_hole_goes_back, open_heap, close_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

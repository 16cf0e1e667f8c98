/* SPDX-License-Identifier: MIT
 *
 * verify.c - checks that each number of the page map, of the spans and of their states is seen if
 * it is wrong, and that what follows from the states is made anew (slots/verify.h).
 *
 * The heap has a span of each kind: a small-slot and a large-slot one with free slots, a full one,
 * an empty one, and the metadata spans that their state arrays lie in.
 */
#include "unit.h"

#include <pthread.h>

#include "core/pieces.h"
#include "slots/queue.h"

enum { REGION_BYTES = 1 << 27, NARROW = 112, FULL = 512, EMPTY = 2000, WIDE = 10000 };

static const char MAP[] = "the map of the slices contradicts itself or the ledger";
static const char PLACE[] = "the map of the slices is not where it should be";
static const char STATES[] = "the states of the slots cannot be";
static const char STATUS[] = "the status of a span contradicts its slots";
static const char COUNTDOWN[] = "the countdown of a span contradicts its slots";
static const char COUNTS[] = "the heap has other spans than it counts";
static const char QUEUE[] = "a queue of spans is broken";

static struct heap heap;
static struct spans *const s = &heap.spans;
static unsigned char *memory;
static struct span *narrow, *full, *empty, *wide, *metadata;

static const char *fault(void)
{
    struct recount n;
    return check_fault_locked(&heap, &n);
}

static void *take(size_t nbytes)
{
    void *object;
    assert_int_equal(heap_take(&heap, nbytes, FIT_ANY, &object), HEAP_OK);
    return object;
}

static struct span *span_of(const void *object)
{
    return pagemap_span(s, pagemap_slice(s, (uintptr_t)object));
}

static uint32_t slice_of(const struct span *span)
{
    return (uint32_t)(span - pagemap_span(s, 1)) + 1;
}

/* Takes objects until n of them lie in slots: the first ones of a class may get chunks. Returns the
 * span of the first one. */
static struct span *take_many(size_t nbytes, int n)
{
    struct span *span = NULL;
    while (n > 0) {
        struct slot slot;
        void *object = take(nbytes);
        size_t offset = (size_t)((unsigned char *)object - heap.chunks.region.base);
        if (spans_find(s, offset, &slot)) {
            span = span == NULL ? pagemap_span(s, slot.slice) : span;
            n--;
        }
    }
    return span;
}

static int set_up(void **state)
{
    (void)state;
    void *object;
    memory = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(memory != MAP_FAILED);
    heap_open_single(&heap, (struct region){.base = memory, .nbytes = REGION_BYTES}, false, true);
    narrow = take_many(NARROW, 20);
    full = take_many(FULL, SLICE_BYTES / FULL + 1); /* the last one needs another span */
    wide = take_many(WIDE, 3);
    do {
        object = take(EMPTY);
        empty = span_of(object);
    } while (empty->slot_bytes == 0);
    assert_int_equal(heap_free(&heap, object), HEAP_OK);
    metadata = span_of(narrow->states);
    assert_int_equal(narrow->status, SPAN_PARTIAL);
    assert_int_equal(full->status, SPAN_FULL);
    assert_int_equal(empty->status, SPAN_EMPTY);
    assert_true(is_wide(wide->slot_bytes) && metadata->purpose == FOR_METADATA);
    assert_null(fault());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return munmap(memory, REGION_BYTES);
}

/* Gives `field` another value, expects that fault, and restores it. */
#define SEEN(field, value, expected)                                                               \
    do {                                                                                           \
        __typeof__(field) was = (field);                                                           \
        (field) = (__typeof__(field))(value);                                                      \
        assert_true((field) != was);                                                               \
        const char *seen = fault();                                                                \
        (field) = was;                                                                             \
        assert_non_null(seen);                                                                     \
        assert_string_equal(seen, expected);                                                       \
        assert_null(fault());                                                                      \
    } while (0)

/* VF1: the class of a span says all numbers of its entry. */
static void test_entries(void **state)
{
    (void)state;
    struct span *const spans[] = {narrow, full, empty, wide, metadata};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        struct span *span = spans[i];
        SEEN(span->sizeclass, NCLASSES, MAP);
        SEEN(span->sizeclass, span->sizeclass + 1, MAP);
        SEEN(span->purpose, NPURPOSES, MAP);
        SEEN(span->slot_bytes, span->slot_bytes + GRANULE_BYTES, MAP);
        SEEN(span->slot_bytes, 0, MAP);
        SEEN(span->nslots, span->nslots - 1, MAP);
        SEEN(span->nslots, span->nslots + 1, MAP);
        SEEN(span->reciprocal, span->reciprocal + 1, MAP);
        SEEN(span->back, 1, MAP);
    }
    SEEN(s->object_max, WIDE, MAP); /* less than the slots of `wide` have */
}

/* Makes the entry that a span of this class and purpose has, with n slices. */
static void shape(struct span *span, unsigned sizeclass, uint8_t purpose, uint32_t n)
{
    *span = (struct span){.sizeclass = (uint8_t)sizeclass, .purpose = purpose};
    span->slot_bytes = sizeclass_bytes(sizeclass);
    span->nslices = (uint8_t)n;
    span->nslots = (uint16_t)span_nslots(s, span);
    span->reciprocal = slot_reciprocal(span->slot_bytes);
}

/* VF1: an entry may be of any class that the heap has slots of, and of any length that such a span
 * may have, in the region. */
static void test_shapes(void **state)
{
    (void)state;
    struct span *const span = wide, was = *span;
    uint32_t slice = slice_of(wide), last = (uint32_t)pagemap_nslices(s);
    for (unsigned c = 0; c < NCLASSES; c++) {
        uint32_t bytes = sizeclass_bytes(c), most = nslices_max(bytes);
        bool has_slots = bytes <= s->object_max && sizeclass_of(bytes) == c;
        for (uint32_t n = 0; n <= 2 * most; n++) {
            bool may_be = n == most;
            for (uint32_t length = WIDE_SLICES; length < most; length *= 2)
                may_be = may_be || n == length;
            shape(span, c, FOR_OBJECTS, n);
            assert_int_equal(span_has_length(span), may_be);
            assert_int_equal(span_is_shaped(s, slice), has_slots && may_be);
            shape(span, c, FOR_METADATA, n);
            assert_int_equal(span_is_shaped(s, slice), c == LINE_CLASS && may_be);
            assert_true(c != LINE_CLASS || n == 0 || span_nreserved(span) < span->nslots);
        }
        if (!has_slots)
            continue;
        /* At the end of the region there is room for the slices that are there. */
        for (uint32_t at = last - 2 * most; at <= last; at++) {
            struct span *entry = pagemap_span(s, at), kept = *entry;
            size_t offset = pagemap_address(s, at) - (uintptr_t)memory;
            shape(entry, c, FOR_OBJECTS, most);
            assert_int_equal(span_is_shaped(s, at), offset + most * SLICE_BYTES <= REGION_BYTES);
            *entry = kept;
        }
    }
    *span = was;
    assert_null(fault());
}

/* A span does not begin below the region. */
static void test_a_span_below_the_region(void **state)
{
    (void)state;
    enum { INTO = 48 };
    struct region r = {.base = memory + SLICE_BYTES - (uintptr_t)memory % SLICE_BYTES + INTO,
                       .nbytes = REGION_BYTES / 2};
    heap_open_single(&heap, r, false, true);
    struct span *span = take_many(NARROW, 1), *first = pagemap_span(s, 1);
    assert_true(span != first && pagemap_address(s, 1) < (uintptr_t)r.base);
    assert_true(span_is_shaped(s, slice_of(span)));
    *first = *span;
    assert_false(span_is_shaped(s, 1));
}

/* Gives the record of the chunk at `granule` another state, and returns the one that it had. */
static uint32_t set_record(uint32_t granule, uint32_t to)
{
    struct ledger_place p;
    struct btree *b = &heap.chunks.ledger.b;
    assert_true(btree_floor(b, BY_ADDRESS, word_of(granule, UINT32_MAX), &p.cursor));
    uint64_t word = cursor_word(&p.cursor);
    assert_int_equal(high_of(word), granule);
    btree_update(b, &p.cursor, word_of(granule, to));
    return low_of(word);
}

/* VF1: the ledger knows the slices of a span as one chunk of the library's own. */
static void test_the_chunk_of_a_span(void **state)
{
    (void)state;
    struct cursor c;
    struct btree *b = &heap.chunks.ledger.b;
    uint32_t granule = pagemap_granule(s, slice_of(wide));
    assert_int_equal(set_record(granule, 1), CHUNK_RESERVED);
    assert_string_equal(fault(), MAP); /* an object is there */
    set_record(granule, CHUNK_RESERVED);
    assert_null(fault());
    uint64_t half = word_of(granule + slice_granules(s), CHUNK_RESERVED);
    btree_floor(b, BY_ADDRESS, half, &c);
    btree_insert(b, &c, half);
    assert_string_equal(fault(), MAP); /* it is two chunks */
    btree_floor(b, BY_ADDRESS, half, &c);
    btree_remove(b, &c);
    assert_null(fault());
}

/* LG5: if the ledger has lost the chunk of an empty span, the span goes and the chunk stays. */
static void test_an_empty_span_without_a_chunk(void **state)
{
    (void)state;
    uint32_t granule = pagemap_granule(s, slice_of(empty));
    uint32_t live = heap.chunks.ledger.live_granules;
    set_record(granule, CHUNK_RESERVED - 1); /* more slack than the chunk has bytes */
    spans_sweep(s);
    assert_int_equal(empty->slot_bytes, 0);
    assert_int_equal(heap.chunks.ledger.live_granules, live);
    assert_int_equal(set_record(granule, CHUNK_RESERVED), CHUNK_RESERVED - 1);
}

/* PM1, PM2: the other entries of a span, and those of no span, are 0. */
static void test_entries_of_no_span(void **state)
{
    (void)state;
    struct span *second = wide + 1, *last = wide + span_nslices(wide) - 1;
    SEEN(second->back, 0, MAP);
    SEEN(last->back, 1, MAP);
    SEEN(last->slot_bytes, 16, MAP);
    SEEN(second->reciprocal_published, 1, MAP);
    SEEN(second->reciprocal_published_wide, 1, MAP);
    SEEN(second->parked_by, memory, MAP);
    SEEN(last->countdown_if_full, 1, MAP);

    struct span *none = pagemap_span(s, 1);
    while (none->slot_bytes != 0 || none->back != 0)
        none++;
    assert_true(slice_of(none) <= pagemap_nslices_used(s));
    SEEN(none->back, 1, MAP);
    SEEN(none->next, 1, MAP);
    SEEN(none->status, SPAN_FULL, MAP);
    SEEN(none->parked_by, memory, MAP);
}

/* PM2: above the last slice in use there is nothing yet. */
static void test_the_rest_is_clear(void **state)
{
    (void)state;
    assert_true(spans_rest_is_clear(s));
    assert_true(pagemap_nslices_used(s) < s->nclear);
    uint32_t ends[] = {pagemap_nslices_used(s) + 1, s->nclear};
    for (int i = 0; i < 2; i++) {
        struct span *span = pagemap_span(s, ends[i]);
        span->nslots = 1;
        assert_false(spans_rest_is_clear(s));
        assert_null(fault());
        span->nslots = 0;
    }
    assert_true(spans_rest_is_clear(s));
    struct heap none = {0};
    assert_true(spans_rest_is_clear(&none.spans));
}

/* VF1: the page map is a chunk of the ledger, and each other chunk of the library's own a span. */
static void test_where_the_map_is(void **state)
{
    (void)state;
    SEEN(s->pagemap, s->pagemap + 4, PLACE);
    SEEN(s->pagemap, s->pagemap + 1, PLACE);
    SEEN(s->nclear, pagemap_nslices(s) + 1, PLACE);
    SEEN(s->nheld, 0, "slices are in use, and there is no map of them");

    /* A chunk of the library's own more, which is no span; and then the map is said to be there. */
    struct ledger *l = &heap.chunks.ledger;
    struct chunk tail = ledger_tail(l);
    uint32_t n = pagemap_granules(s) + 8, at = tail.start + (tail.start % 4 == 0);
    if (at > tail.start)
        ledger_take(l, &tail, 1, 0);
    tail = ledger_tail(l);
    assert_int_equal(ledger_take(l, &tail, n, LEDGER_RESERVED), n);
    assert_true(at % 4 != 0);
    assert_string_equal(fault(), MAP);
    s->pagemap = at;
    assert_string_equal(fault(), PLACE);
}

/* Each state array is in lines of a metadata span that are in use, and no two share a line. */
static void test_where_the_states_are(void **state)
{
    (void)state;
    uint32_t line_bytes = metadata->slot_bytes;
    unsigned char *first = (unsigned char *)pagemap_address(s, slice_of(metadata));
    SEEN(narrow->states, memory - 64, STATES);
    SEEN(narrow->states, memory + REGION_BYTES, STATES);
    SEEN(narrow->states, memory + REGION_BYTES - 64, STATES); /* no entry says anything there */
    SEEN(narrow->states, pagemap_address(s, slice_of(full)), STATES);
    SEEN(narrow->states, pagemap_address(s, slice_of(wide) + 1), STATES);
    SEEN(narrow->states, narrow->states + 16, STATES);
    SEEN(narrow->states, narrow->states + line_bytes, STATES);
    SEEN(narrow->states, first, STATES);
    SEEN(narrow->states, first + line_bytes, STATES); /* the metadata span's own */
    SEEN(narrow->states, first + (metadata->nslots - 1u) * line_bytes, STATES);
    SEEN(narrow->states, first + metadata->nslots * line_bytes, STATES);
    SEEN(narrow->states, full->states, STATES);
    SEEN(metadata->states, metadata->states + line_bytes, MAP);
    size_t into = (size_t)(narrow->states - first),
           nbytes = state_array_bytes(narrow->nslots, NARROW);
    SEEN(metadata->states[into / LINE_BYTES], 0, STATES);
    SEEN(metadata->states[(into + nbytes) / LINE_BYTES - 1], 0, STATES);
    assert_true(spans_take_metadata(s, line_bytes) != NULL); /* and no span has that one */
    assert_string_equal(fault(), STATES);
}

/* Where threads have caches, lines may be in use for these; but no array is in a line that is free,
 * or that is never handed out. */
static void test_states_beside_caches(void **state)
{
    (void)state;
    struct recount n, all;
    uint32_t nlines = (uint32_t)(state_array_bytes(narrow->nslots, NARROW) / LINE_BYTES);
    unsigned char *first = (unsigned char *)pagemap_address(s, slice_of(metadata));
    uint32_t index = metadata->nslots - 1u - nlines;
    assert_null(check_fault_locked(&heap, &all));
    for (uint32_t line = index; line < index + nlines; line++)
        metadata->states[line] = 1;
    n = all;
    narrow->states = first + index * LINE_BYTES;
    assert_null(spans_fault(s, 0, true, &n));
    for (uint32_t line = index; line < index + nlines; line++) {
        metadata->states[line] = 0;
        n = all;
        assert_string_equal(spans_fault(s, 0, true, &n), STATES);
        metadata->states[line] = 1;
    }
    n = all;
    narrow->states += LINE_BYTES;
    assert_string_equal(spans_fault(s, 0, true, &n), STATES);
}

/* ST3, ST4: a state can be 0 or what the slot has room for. */
static void test_states(void **state)
{
    (void)state;
    uint32_t last = metadata->nslots - 1u;
    SEEN(narrow->states[narrow->nslots], 1, STATES);
    SEEN(narrow->states[1], NARROW + 2, STATES);
    SEEN(narrow->states[1], STATE_FAR, STATES);
    SEEN(wide->states[wide->nslots], 1, STATES);
    SEEN(*far_slack(wide->states, wide->nslots, 0), wide->slot_bytes + 1, STATES);
    SEEN(metadata->states[0], 0, MAP);
    SEEN(metadata->states[last], 0, MAP);
    SEEN(metadata->states[span_nreserved(metadata) - 1], 2, MAP);
    SEEN(metadata->states[metadata->nslots], 1, MAP);
    narrow->states[1] = NARROW + 1; /* an object of 0 bytes: it can be */
    assert_null(fault());
}

/* VF2: what follows from the states. */
static void test_status(void **state)
{
    (void)state;
    struct span *const spans[] = {narrow, full, empty, wide};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        struct span *span = spans[i];
        SEEN(span->status, SPAN_NONE, STATUS);
        SEEN(span->status, SPAN_EMPTY + 1, STATUS);
        SEEN(span->parked_by, memory, STATUS);
        SEEN(span->reciprocal_published, span->reciprocal_published + 1, STATUS);
        SEEN(span->reciprocal_published_wide, span->reciprocal_published_wide + 1, STATUS);
        SEEN(span->search, span->nslots + 1, STATUS);
        SEEN(span->used, span->nslots + 1, STATUS);
    }
    SEEN(metadata->status, SPAN_OWNED, STATUS);
    SEEN(metadata->reciprocal_published, metadata->reciprocal, STATUS);
    SEEN(narrow->reciprocal_published, 0, STATUS);
    SEEN(empty->reciprocal_published, empty->reciprocal, STATUS);
    SEEN(narrow->status, SPAN_EMPTY, STATUS);
    SEEN(full->status, SPAN_PARTIAL, QUEUE);
    SEEN(narrow->status, SPAN_FULL, STATUS);
    narrow->status = SPAN_OWNED; /* only a thread parks a span, and then it is in no queue */
    assert_string_equal(spans_links_fault(s, true), QUEUE);
    narrow->parked_by = memory;
    assert_string_equal(spans_links_fault(s, true), QUEUE);
    assert_string_equal(spans_links_fault(s, false), STATUS);
}

static void *wait_for(void *barrier)
{
    pthread_barrier_wait(barrier);
    return NULL;
}

/* A thread with a cache may be in the middle of a free: its step of the countdown comes first. */
static void with_another_thread(struct member *other)
{
    pthread_t thread;
    pthread_barrier_t barrier;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_for, &barrier), 0);
    narrow->countdown_if_full++;
    assert_string_equal(spans_links_fault(s, true), COUNTDOWN); /* no thread has a cache */
    s->threads.first = other;
    const char *seen = spans_links_fault(s, true);
    s->threads.first = NULL;
    narrow->countdown_if_full--;
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    assert_null(seen);
}

static void test_countdowns(void **state)
{
    (void)state;
    SEEN(narrow->countdown, 21, STATUS); /* it has 20 objects */
    SEEN(full->countdown, (int32_t)span_share(full->nslots) + 1, STATUS);
    SEEN(narrow->countdown, INT32_MIN / 2 - 1, STATUS);
    SEEN(narrow->countdown, narrow->countdown - 1, COUNTDOWN);
    SEEN(narrow->countdown_if_full, narrow->countdown_if_full + 1, COUNTDOWN);
    /* Where threads have caches, a countdown may be far off, but not anything. */
    static const int32_t ends[] = {INT32_MIN / 2, INT32_MAX / 2};
    int32_t was = narrow->countdown, was_if_full = narrow->countdown_if_full;
    s->may_have_raced = 1;
    for (int i = 0; i < 2; i++) {
        narrow->countdown = ends[i];
        assert_null(spans_links_fault(s, true));
        narrow->countdown += i == 0 ? -1 : 1;
        assert_string_equal(spans_links_fault(s, true), STATUS);
    }
    s->may_have_raced = 0;
    narrow->countdown = was;
    assert_null(fault());
    narrow->countdown_if_full++; /* exact, as long as this thread is the only one */
    struct member other = {0};
    s->threads.first = &other;
    assert_string_equal(spans_links_fault(s, true), COUNTDOWN);
    s->threads.first = NULL;
    narrow->countdown_if_full = was_if_full;
    with_another_thread(&other);
    s->may_have_raced = 1; /* and then steps may have been lost */
    narrow->countdown_if_full++;
    assert_null(fault());
}

static void test_counts_and_queues(void **state)
{
    (void)state;
    SEEN(s->nheld, s->nheld + 1, COUNTS);
    SEEN(s->nempty, s->nempty + 1, COUNTS);
    struct queues *q = region_at(&heap.chunks.region, s->pagemap);
    SEEN(q[FOR_OBJECTS].empty[empty->sizeclass], NO_SLICE, QUEUE);
    SEEN(q[FOR_OBJECTS].partial[wide->sizeclass], NO_SLICE, QUEUE);
    SEEN(q[FOR_OBJECTS].partial[wide->sizeclass], slice_of(narrow), QUEUE);
    SEEN(q[FOR_OBJECTS].partial[wide->sizeclass], pagemap_nslices(s) + 1, QUEUE);
    SEEN(q[FOR_METADATA].partial[metadata->sizeclass], NO_SLICE, QUEUE);
    SEEN(wide->next, NO_SLICE, QUEUE);
    SEEN(wide->next, pagemap_nslices(s) + 1, QUEUE);
    SEEN(wide->next, slice_of(empty), QUEUE);
    SEEN(wide->previous, slice_of(empty), QUEUE);
}

/* Without spans the heap has no page map, and counts none. */
static void test_no_spans(void **state)
{
    (void)state;
    struct heap none;
    static _Alignas(16) unsigned char buffer[4096];
    heap_open_single(&none, (struct region){.base = buffer, .nbytes = sizeof buffer}, false, true);
    struct recount n;
    assert_null(check_fault_locked(&none, &n));
    spans_make_anew(&none.spans, 16);
    assert_null(check_fault_locked(&none, &n));
    none.spans.nempty = 1;
    assert_string_equal(check_fault_locked(&none, &n), COUNTS);
}

/* Spoils all that follows from the states of one span. */
static void spoil(struct span *span)
{
    span->reciprocal_published = 7;
    span->reciprocal_published_wide = 9;
    span->parked_by = memory;
    span->search = span->used = UINT16_MAX;
    span->status = SPAN_OWNED;
    span->countdown = span->countdown_if_full = 12345;
    span->next = span->previous = 99;
}

/* VF2: a heap that was moved has all that follows from the states again, wherever it was. */
static void test_made_anew(void **state)
{
    (void)state;
    enum { MOVED = 1 << 20 };
    struct recount before, after;
    assert_null(check_fault_locked(&heap, &before));
    struct span *const spans[] = {narrow, full, wide, metadata, empty};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        spoil(spans[i]);
    struct queues *q = region_at(&heap.chunks.region, s->pagemap);
    memset(q, 0xEE, QUEUES_BYTES);
    for (uint32_t slice = 1; slice <= pagemap_nslices_used(s); slice++)
        if (pagemap_span(s, slice)->slot_bytes != 0)
            pagemap_span(s, slice)->states -= MOVED;
    s->nempty = 77;
    assert_null(check_given_locked(&heap, MOVED, &after));
    assert_string_equal(check_given_locked(&heap, MOVED + 16, &after), MAP);
    spans_make_anew(s, MOVED);
    assert_null(check_fault_locked(&heap, &after));
    assert_int_equal(after.nobjects, before.nobjects);
    assert_int_equal(after.object_bytes, before.object_bytes);
    assert_int_equal(s->nempty, 0); /* the empty one has gone back */
    assert_int_equal(empty->slot_bytes, 0);
    assert_int_equal(narrow->status, SPAN_PARTIAL);
    assert_int_equal(full->status, SPAN_FULL);
    assert_null(narrow->parked_by);
    assert_int_equal(narrow->search, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_entries, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shapes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_span_below_the_region, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_chunk_of_a_span, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_empty_span_without_a_chunk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_entries_of_no_span, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_rest_is_clear, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_where_the_map_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_where_the_states_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_states_beside_caches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_states, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_countdowns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_counts_and_queues, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_spans, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_made_anew, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

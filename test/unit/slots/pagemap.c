/* SPDX-License-Identifier: MIT
 *
 * pagemap.c - checks PM1 to PM3 (src/slots/pagemap.h): spans of random lengths whose slices are
 * taken and given back, against an array that says of each slice which span it belongs to.
 */
#include "unit.h"

#include <string.h>

#include "slots/pagemap.h"
#include "slots/spans.h"

enum { REGION_BYTES = 1 << 24, NSLICES = REGION_BYTES / SLICE_BYTES + 1, NSTEPS = 6000 };

static _Alignas(SLICE_BYTES) unsigned char memory[REGION_BYTES + SLICE_BYTES];
static struct chunks chunks;
static struct spans spans;
static MemNodePtr head;
static uint64_t dice = 88172645463325252;

static uint32_t span_of[NSLICES + 1];   /* the first slice of the span of each slice, or NO_SLICE */
static uint32_t length_of[NSLICES + 1]; /* how many slices the span has that begins here, or 0 */
static uint32_t nheld;

/* The region begins 48 bytes into a slice, so that neither the first slice nor the last is whole.
 * What was in the memory before is not 0. */
static void open_spans(MemNodePtr *list)
{
    memset(memory, 0xA5, sizeof memory);
    memset(span_of, 0, sizeof span_of);
    memset(length_of, 0, sizeof length_of);
    nheld = 0;
    chunks_open(&chunks, (struct region){.base = memory + 48, .nbytes = REGION_BYTES}, list);
    spans_open(&spans, &chunks);
    assert_int_equal(slice_bytes(&spans), SLICE_BYTES);
    assert_int_equal(pagemap_nslices(&spans), NSLICES);
}

static bool is_all_0(const struct span *span)
{
    static const struct span zero;
    return memcmp(span, &zero, sizeof zero) == 0;
}

/* Returns whether the page map lies in the slice or in a part of it. */
static bool holds_pagemap(uint32_t slice)
{
    uintptr_t first = pagemap_address(&spans, slice);
    uintptr_t begin = (uintptr_t)region_at(&chunks.region, spans.pagemap);
    uintptr_t end = begin + (uintptr_t)pagemap_granules(&spans) * GRANULE_BYTES;
    return begin < first + SLICE_BYTES && first < end;
}

/* Returns whether n whole slices in a row are in no span, except for the last slices of the region,
 * where the records of the ledger may lie. */
static bool model_has_room(uint32_t n)
{
    uint32_t run = 0;
    for (uint32_t slice = 2; slice <= NSLICES - 3; slice++) {
        run = span_of[slice] == NO_SLICE && !holds_pagemap(slice) ? run + 1 : 0;
        if (run == n)
            return true;
    }
    return false;
}

/* Takes the slices of a span, and writes into its entry what makes it a span. */
static void take_one(uint32_t n)
{
    uint32_t first = slices_take(&spans, n);
    if (first == NO_SLICE) {
        assert_false(nheld > 0 && model_has_room(n));
        return;
    }
    assert_true(first >= 2 && first + n - 1 < NSLICES); /* each slice is whole */
    assert_true(is_all_0(pagemap_span(&spans, first)));
    for (uint32_t slice = first; slice < first + n; slice++) {
        assert_int_equal(span_of[slice], NO_SLICE);
        assert_false(holds_pagemap(slice));
        span_of[slice] = first;
    }
    length_of[first] = n;
    nheld += n;
    pagemap_span(&spans, first)->slot_bytes = n == 1 ? 64 : n * SLICE_BYTES / WIDE_SLOTS;
    pagemap_span(&spans, first)->nslices = (uint8_t)n;
    pagemap_span(&spans, first)->nslots = 9;
    assert_int_equal(span_nslices(pagemap_span(&spans, first)), n);
}

/* Gives back the first span from a random slice on. */
static void give_back_one(void)
{
    uint32_t slice = 1 + rnd(&dice, NSLICES);
    while (length_of[slice] == 0)
        slice = slice % NSLICES + 1;
    uint32_t n = length_of[slice];
    length_of[slice] = 0;
    memset(&span_of[slice], 0, n * sizeof span_of[0]);
    nheld -= n;
    slices_give_back(&spans, slice, n);
}

/* Checks the chunk of the ledger that the slices of a span lie in. */
static void check_chunk(uint32_t first)
{
    struct ledger_place p;
    assert_true(ledger_find_place(&chunks.ledger, pagemap_granule(&spans, first), &p));
    assert_int_equal(p.chunk.start, pagemap_granule(&spans, first));
    assert_true(p.chunk.length >= length_of[first] * slice_granules(&spans));
    assert_int_equal(p.chunk.state, CHUNK_RESERVED);
}

/* Compares each entry of the page map with the array: PM1, PM2. */
static void check_entries(void)
{
    uint32_t last = 0;
    assert_int_equal(spans.nheld, nheld);
    assert_int_equal(pagemap_granules(&spans) > 0, nheld > 0); /* PM3 */
    for (uint32_t slice = 1; slice <= NSLICES && nheld > 0; slice++) {
        const struct span *span = pagemap_span(&spans, slice);
        uint32_t first = span_of[slice];
        if (first != NO_SLICE || holds_pagemap(slice))
            last = slice;
        if (first == NO_SLICE) {
            assert_true(slice > spans.nclear || is_all_0(span));
            continue;
        }
        assert_true(slice <= spans.nclear);
        assert_int_equal(slice - span->back, first);
        assert_int_equal(span->slot_bytes != 0, slice == first);
        if (slice == first)
            check_chunk(slice);
    }
    assert_int_equal(pagemap_nslices_used(&spans), last);
}

/* Slices fill the region and leave it again, several times. */
static void check_against_array(MemNodePtr *list)
{
    open_spans(list);
    uint32_t tail = ledger_tail(&chunks.ledger).length, most = 0, nempty = 0;
    for (int step = 0; step < NSTEPS; step++) {
        bool is_filling = step / 500 % 2 == 0;
        if (nheld == 0 || rnd(&dice, 4) < (is_filling ? 3 : 1))
            take_one(rnd(&dice, 3) == 0 ? 8u << rnd(&dice, 3) : 1);
        else
            give_back_one();
        check_entries();
        most = nheld > most ? nheld : most;
        if (nheld == 0) {
            nempty++;
            assert_int_equal(ledger_tail(&chunks.ledger).length, tail); /* PM3 */
        }
    }
    assert_true(most > NSLICES - 24 && nempty > 0);
}

static void test_without_list(void **state)
{
    (void)state;
    check_against_array(NULL);
}

/* In a heap with a free list the entries are cleared one by one, as slices are taken. */
static void test_with_list(void **state)
{
    (void)state;
    check_against_array(&head);
}

/* Each granule of the region lies in the slice that the naive division says. */
static void test_addresses(void **state)
{
    (void)state;
    open_spans(NULL);
    uintptr_t base = (uintptr_t)chunks.region.base;
    for (uintptr_t a = base; a < base + REGION_BYTES; a += GRANULE_BYTES) {
        uint32_t slice = (uint32_t)((a - (uintptr_t)memory) / SLICE_BYTES) + 1;
        assert_int_equal(pagemap_slice(&spans, a), slice);
        assert_int_equal(pagemap_slice(&spans, a + GRANULE_BYTES - 1), slice);
        assert_true(a - pagemap_address(&spans, slice) < SLICE_BYTES);
    }
    for (uint32_t slice = 2; slice <= NSLICES; slice++)
        assert_ptr_equal(region_at(&chunks.region, pagemap_granule(&spans, slice)),
                         memory + (size_t)(slice - 1) * SLICE_BYTES);
    assert_true(pagemap_slice(&spans, base - SLICE_BYTES) - 1 >= NSLICES);
    assert_true(pagemap_slice(&spans, base + REGION_BYTES + SLICE_BYTES) - 1 >= NSLICES);
}

/* Of a heap that is not open nothing is there. */
static void test_closed(void **state)
{
    (void)state;
    struct spans closed = {0};
    assert_false(pagemap_is_there(&closed));
    assert_int_equal(pagemap_granules(&closed), 0);
}

/* Any address in a large-slot span leads to the entry of its first slice. */
static void test_addresses_in_a_large_span(void **state)
{
    (void)state;
    open_spans(NULL);
    take_one(1);
    uint32_t first = slices_take(&spans, WIDE_SLICES_MAX);
    assert_int_not_equal(first, NO_SLICE);
    pagemap_span(&spans, first)->slot_bytes = NARROW_BYTES_MAX + GRANULE_BYTES;
    uintptr_t begin = pagemap_address(&spans, first);
    for (uintptr_t a = begin; a < begin + WIDE_SLICES_MAX * SLICE_BYTES; a += 1000) {
        uint32_t slice = pagemap_slice(&spans, a);
        const struct span *span = pagemap_span(&spans, slice);
        assert_ptr_equal(span - span->back, pagemap_span(&spans, first));
        assert_int_equal(pagemap_address(&spans, slice - span->back), begin);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_closed),
                                       cmocka_unit_test(test_without_list),
                                       cmocka_unit_test(test_with_list),
                                       cmocka_unit_test(test_addresses),
                                       cmocka_unit_test(test_addresses_in_a_large_span)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

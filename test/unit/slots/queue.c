/* SPDX-License-Identifier: MIT
 *
 * queue.c - checks slices, their entries in the page map, and the queues of spans (slots/pagemap.h,
 * slots/queue.h).
 */
#include "unit.h"

#include "slots/queue.h"
#include "slots/spans.h"

enum { REGION_BYTES = 1 << 24, NSPANS = 12, CLASS = 5 };

static _Alignas(SLICE_BYTES) unsigned char memory[REGION_BYTES + SLICE_BYTES];
static struct chunks chunks;
static struct spans spans;

/* The region begins 48 bytes into a slice, so that the first slice is not whole. */
static void open_spans(void)
{
    chunks_open(&chunks, (struct region){.base = memory + 48, .nbytes = REGION_BYTES}, NULL);
    spans_open(&spans, &chunks);
}

/* Takes a slice, and makes its entry that of a span of one class, all free. */
static uint32_t take_slice(void)
{
    uint32_t slice = slices_take(&spans, 1);
    assert_int_not_equal(slice, NO_SLICE);
    pagemap_span(&spans, slice)->slot_bytes = sizeclass_bytes(CLASS);
    pagemap_span(&spans, slice)->sizeclass = CLASS;
    pagemap_span(&spans, slice)->nslices = 1;
    return slice;
}

static void test_slices_and_addresses(void **state)
{
    (void)state;
    open_spans();
    uintptr_t base = (uintptr_t)chunks.region.base, size = slice_bytes(&spans);
    assert_int_equal(pagemap_slice(&spans, base), 1);
    assert_int_equal(pagemap_address(&spans, 1), base & ~(size - 1));
    for (uint32_t slice = 2; slice <= pagemap_nslices(&spans); slice++) {
        uintptr_t first = pagemap_address(&spans, slice);
        assert_int_equal(first % size, 0);
        assert_int_equal(pagemap_slice(&spans, first), slice);
        assert_int_equal(pagemap_slice(&spans, first - 1), slice - 1);
        assert_int_equal(base + (uintptr_t)pagemap_granule(&spans, slice) * GRANULE_BYTES, first);
    }
}

/* PM3: the page map is there with the first span, and gone with the last. */
static void test_slices_go_back(void **state)
{
    (void)state;
    open_spans();
    uint32_t tail = ledger_tail(&chunks.ledger).length;
    assert_int_equal(pagemap_granules(&spans), 0);
    uint32_t small = slices_take(&spans, 1), large = slices_take(&spans, WIDE_SLICES_MAX);
    assert_true(small != NO_SLICE && large != NO_SLICE && pagemap_granules(&spans) > 0);
    for (uint32_t i = 0; i < WIDE_SLICES_MAX; i++) /* PM1 */
        assert_int_equal(pagemap_span(&spans, large + i)->back, i);
    assert_int_equal(spans.nheld, 1 + WIDE_SLICES_MAX);
    slices_give_back(&spans, small, 1);
    for (uint32_t i = 0; i < WIDE_SLICES_MAX; i++)
        assert_int_equal(pagemap_span(&spans, large + i)->back, i);
    slices_give_back(&spans, large, WIDE_SLICES_MAX);
    assert_int_equal(spans.nheld, 0);
    assert_int_equal(pagemap_granules(&spans), 0);
    assert_int_equal(ledger_tail(&chunks.ledger).length, tail);
}

/* Without room for the slices the page map is not left behind. */
static void test_no_room(void **state)
{
    (void)state;
    uint32_t start;
    open_spans();
    uint32_t tail = ledger_tail(&chunks.ledger).length, all = tail - 2 * slice_granules(&spans);
    assert_int_equal(chunks_take_aligned(&chunks, all, 1, 0, &start), CHUNKS_OK);
    tail = ledger_tail(&chunks.ledger).length;
    assert_int_equal(slices_take(&spans, WIDE_SLICES_MAX), NO_SLICE);
    assert_int_equal(spans.nheld, 0);
    assert_int_equal(ledger_tail(&chunks.ledger).length, tail);
}

static void test_first_in_first_out(void **state)
{
    (void)state;
    uint32_t slice[NSPANS];
    open_spans();
    for (int i = 0; i < NSPANS; i++)
        slice[i] = take_slice();
    for (int i = 0; i < NSPANS; i++) {
        queue_push(&spans, slice[i], SPAN_EMPTY);
        assert_int_equal(queue_first(&spans, FOR_OBJECTS, CLASS, true), slice[0]); /* QU2 */
        assert_int_equal(queue_length(&spans, FOR_OBJECTS, CLASS, SPAN_EMPTY), i + 1);
        assert_int_equal(spans.nempty, i + 1);
    }
    assert_int_equal(queue_first(&spans, FOR_OBJECTS, CLASS, false), NO_SLICE);
    assert_int_equal(queue_first(&spans, FOR_METADATA, CLASS, true), NO_SLICE);
    queue_remove(&spans, slice[NSPANS / 2]); /* from the middle, and at the other end again */
    queue_push(&spans, slice[NSPANS / 2], SPAN_EMPTY);
    for (int i = 0; i < NSPANS; i++) {
        int expected = i < NSPANS / 2 ? i : i == NSPANS - 1 ? NSPANS / 2 : i + 1;
        assert_int_equal(queue_first(&spans, FOR_OBJECTS, CLASS, true), slice[expected]);
        queue_remove(&spans, slice[expected]);
    }
    assert_int_equal(queue_length(&spans, FOR_OBJECTS, CLASS, SPAN_EMPTY), 0);
    assert_int_equal(spans.nempty, 0);
}

/* QU1: a span that is in a queue where it does not belong is seen. */
static void test_a_broken_queue(void **state)
{
    (void)state;
    open_spans();
    uint32_t one = take_slice(), two = take_slice();
    queue_push(&spans, one, SPAN_PARTIAL);
    queue_push(&spans, two, SPAN_PARTIAL);
    assert_int_equal(queue_length(&spans, FOR_OBJECTS, CLASS, SPAN_PARTIAL), 2);
    pagemap_span(&spans, two)->sizeclass++;
    assert_true(queue_length(&spans, FOR_OBJECTS, CLASS, SPAN_PARTIAL) > spans.nheld);
    pagemap_span(&spans, two)->sizeclass--;
    pagemap_span(&spans, two)->purpose = FOR_METADATA;
    assert_true(queue_length(&spans, FOR_OBJECTS, CLASS, SPAN_PARTIAL) > spans.nheld);
    pagemap_span(&spans, two)->purpose = FOR_OBJECTS;
    pagemap_span(&spans, two)->status = SPAN_EMPTY;
    assert_true(queue_length(&spans, FOR_OBJECTS, CLASS, SPAN_PARTIAL) > spans.nheld);
    pagemap_span(&spans, two)->status = SPAN_PARTIAL;
    assert_int_equal(queue_length(&spans, FOR_OBJECTS, CLASS, SPAN_PARTIAL), 2);
    pagemap_span(&spans, two)->next = two;
    assert_true(queue_length(&spans, FOR_OBJECTS, CLASS, SPAN_PARTIAL) > spans.nheld);
    pagemap_span(&spans, two)->previous = two; /* a ring without the first span */
    assert_true(queue_length(&spans, FOR_OBJECTS, CLASS, SPAN_PARTIAL) > spans.nheld);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices_and_addresses),
        cmocka_unit_test(test_slices_go_back),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_first_in_first_out),
        cmocka_unit_test(test_a_broken_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

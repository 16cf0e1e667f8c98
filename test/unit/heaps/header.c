/* SPDX-License-Identifier: MIT
 *
 * header.c - checks that the header of a heap is examined field by field (heaps/header.h): what no
 * heap can have is refused, though no checksum is wrong, since that may have been made so.
 */
#include "unit.h"

#include <string.h>

#include "heaps/guard.h"
#include "heaps/header.h"
#include "heaps/parts.h"

enum { BYTES = 1 << 22, PAGE = 4096 };

static _Alignas(PAGE) unsigned char buffer[BYTES];
static mem_heap *const m = (mem_heap *)(void *)buffer;

static mem_heap *make(size_t nbytes, const struct mem_options *o, bool is_mapped)
{
    static const struct mem_options none = {0};
    header_make(m, nbytes, o != NULL ? o : &none, is_mapped);
    assert_true(header_is_possible(m));
    return m;
}

/* Gives `field` another value, expects that this is seen, and restores it. */
#define SEEN(field, value)                                                                         \
    do {                                                                                           \
        __typeof__(field) was = (field);                                                           \
        (field) = (__typeof__(field))(value);                                                      \
        assert_true((field) != was);                                                               \
        assert_false(header_is_possible(m));                                                       \
        (field) = was;                                                                             \
        assert_true(header_is_possible(m));                                                        \
    } while (0)

static void write_truth(unsigned char truth)
{
    memcpy(&m->is_mapped, &truth, sizeof truth);
}

static void test_sizes_flags_styles(void **state)
{
    (void)state;
    static const size_t sizes[] = {MEM_HEAP_MIN, 1 << 16, BYTES};
    for (int i = 0; i < 3; i++) {
        make(sizes[i], NULL, false);
        SEEN(m->nbytes, MEM_HEAP_MIN - HEAP_ALIGN);
        SEEN(m->nbytes, (size_t)MEM_HEAP_MAX + HEAP_ALIGN);
        SEEN(m->nbytes, sizes[i] + HEAP_ALIGN / 2);
        SEEN(m->flags, m->flags | 64);
        SEEN(m->style, MEM_FIRST_FIT + 1);
        write_truth(2);
        assert_false(header_is_possible(m));
        write_truth(1);
        assert_true(header_is_possible(m));
    }
}

/* Where the sections are, and whether there are spans, follows from size, flags and options. */
static void test_modes(void **state)
{
    (void)state;
    static const struct mem_options options[] = {{0},
                                                 {.flags = MEM_SINGLE_THREADED},
                                                 {.limit = 1000},
                                                 {.flags = MEM_FILL_NEW}};
    static const size_t sizes[] = {1 << 16, BYTES};
    for (int i = 0; i < 8; i++) {
        make(sizes[i / 4], &options[i % 4], false);
        SEEN(m->lock, m->lock == 0 ? sizeof *m : 0);
        SEEN(m->state, m->state + 8);
        SEEN(m->region, m->region + HEAP_ALIGN);
        SEEN(m->version, m->version + 1);
        SEEN(m->guard_shift, 12); /* a guard, and no flag that says so */
        SEEN(m->magic, m->magic == HEAP_FAST ? HEAP_FAST_LOCKED : HEAP_FAST);
        SEEN(m->magic, 0);
        SEEN(m->flags, m->flags | MEM_GUARD_PAGES);
        if (m->nbytes == BYTES)
            SEEN(m->flags, m->flags ^ HAS_HCACHE);
        m->has_spans = !m->has_spans;
        assert_false(header_is_possible(m));
        m->has_spans = !m->has_spans;
        m->magic = HEAP_DETACHED;
        assert_true(header_is_possible(m));
    }
    /* A heap with a limit has no cache: its limit would not be looked at there. */
    static const struct mem_options with_extras = {
        .context = buffer,
        .limit = 0,
        .on_refused = (void (*)(mem_heap *, const void *, enum mem_result, void *))(uintptr_t)16};
    make(BYTES, &with_extras, false);
    assert_true(header_has_hcache(m) && m->extras != 0);
    struct extras *e = (struct extras *)(void *)(buffer + m->extras);
    SEEN(e->limit, 1000);
    SEEN(m->extras, 0);
}

/* A heap with guard pages is a mapping of four pages or more. */
static void test_guards(void **state)
{
    (void)state;
    static const struct mem_options guarded = {.flags = MEM_GUARD_PAGES};
    size_t page = 0;
    make(1 << 20, &guarded, true);
    page = (size_t)1 << m->guard_shift;
    SEEN(m->guard_shift, 11);
    SEEN(m->guard_shift, 17);
    SEEN(m->guard_shift, m->guard_shift + 32);
    SEEN(m->guard_shift, 0);
    SEEN(m->nbytes, (1 << 20) - HEAP_ALIGN); /* not whole pages */
    SEEN(m->nbytes, 3 * page);
    SEEN(m->nbytes, 2 * PART_BYTES);
    SEEN(m->flags, m->flags & ~MEM_GUARD_PAGES);
    write_truth(0);
    assert_false(header_is_possible(m));
    make(4 * page, &guarded, true);
    assert_true(header_is_possible(m));
    make(2 * PART_BYTES, NULL, true);
    write_truth(0); /* and so is one with parts */
    assert_false(header_is_possible(m));
}

/* A place that is sealed, but reaches beyond the region, is not believed. */
static void test_a_guard_of_a_larger_region(void **state)
{
    (void)state;
    enum { NPAGES = 8 };
    struct ledger l = {.nbytes = NPAGES * PAGE}, loaded = l;
    struct stored_guard stored;
    ledger_set_guard(&l, (NPAGES - 2) * PAGE / GRANULE_BYTES, (NPAGES - 1) * PAGE / GRANULE_BYTES);
    guard_save(&l, &stored);
    assert_true(guard_load(&stored, PAGE / GRANULE_BYTES, &loaded));
    assert_int_equal(loaded.guard.high, l.guard.high);
    loaded.nbytes = l.nbytes / 2;
    assert_false(guard_load(&stored, PAGE / GRANULE_BYTES, &loaded));
    assert_int_equal(loaded.guard.high, 0);
}

/* A part is read only where its own numbers say that it lies where it should. */
static void test_a_part_in_its_place(void **state)
{
    (void)state;
    struct heap view;
    make(2 * PART_BYTES, NULL, true);
    parts_make(m, 1, &view);
    assert_true(parts_is_in_place(m, 1, &view));
    assert_false(parts_is_in_place(m, 0, &view));
#define OUT_OF_PLACE(field, value)                                                                 \
    do {                                                                                           \
        __typeof__(view.field) was = view.field;                                                   \
        view.field = (value);                                                                      \
        assert_false(parts_is_in_place(m, 1, &view));                                              \
        view.field = was;                                                                          \
        assert_true(parts_is_in_place(m, 1, &view));                                               \
    } while (0)
    OUT_OF_PLACE(chunks.region.base, was + 16);
    OUT_OF_PLACE(chunks.region.nbytes, was - 16);
    OUT_OF_PLACE(chunks.ledger.b.end, was - 16);
    OUT_OF_PLACE(chunks.ledger.nbytes, was - 16);
    OUT_OF_PLACE(chunks.ledger.b.room, view.chunks.region.nbytes + 16);
    OUT_OF_PLACE(spans.slice_shift, SLICE_SHIFT + 1);
    struct guard was = view.chunks.ledger.guard;
    size_t ngranules = view.chunks.region.nbytes / GRANULE_BYTES;
    view.chunks.ledger.guard = (struct guard){.low = (uint32_t)(ngranules + 1), .high = UINT32_MAX};
    assert_false(parts_is_in_place(m, 1, &view));
    view.chunks.ledger.guard = was;
    assert_true(parts_is_in_place(m, 1, &view));
}

static void test_examine(void **state)
{
    (void)state;
    make(1 << 16, NULL, false);
    assert_int_equal(header_examine(m, 1 << 16), MEM_OK);
    assert_int_equal(header_examine(m, MEM_HEAP_MIN - 1), MEM_BAD_SIZE);
    assert_int_equal(header_examine(m, (1 << 16) - 1), MEM_BAD_SIZE);
    m->version++;
    assert_int_equal(header_examine(m, 1 << 16), MEM_BAD_VERSION);
    m->version--;
    m->sum++;
    assert_int_equal(header_examine(m, 1 << 16), MEM_DAMAGED);
    m->sum--;
    m->magic = HEAP_MAGIC + 1;
    assert_int_equal(header_examine(m, 1 << 16), MEM_NO_HEAP);
    m->magic = HEAP_MAGIC;
    header_detach(m);
    assert_int_equal(header_examine(m, 1 << 16), MEM_OK);
    m->live_bytes++;
    assert_int_equal(header_examine(m, 1 << 16), MEM_DAMAGED);
    m->live_bytes--;
    m->style = MEM_FIRST_FIT + 1; /* it is examined before the sum */
    assert_int_equal(header_examine(m, 1 << 16), MEM_DAMAGED);
    static const struct mem_options guarded = {.flags = MEM_GUARD_PAGES};
    make(1 << 20, &guarded, true);
    assert_int_equal(header_examine(m, 1 << 20), MEM_BAD_OPTIONS);
}

/* Each checksum covers each byte that it should. */
static void test_sums(void **state)
{
    (void)state;
    static const struct mem_options limited = {.limit = 1000};
    make(1 << 16, &limited, false);
    header_sum_numbers(m);
    assert_true(header_is_whole(m) && header_numbers_are_whole(m) && header_extras_are_whole(m));
    for (size_t i = offsetof(struct mem_heap, nbytes); i < offsetof(struct mem_heap, live_bytes);
         i++) {
        buffer[i] ^= 1;
        assert_false(header_is_whole(m));
        buffer[i] ^= 1;
    }
    for (size_t i = offsetof(struct mem_heap, live_bytes);
         i < offsetof(struct mem_heap, sum_of_numbers); i++) {
        buffer[i] ^= 1;
        assert_false(header_numbers_are_whole(m));
        buffer[i] ^= 1;
    }
    for (size_t i = m->extras; i < m->extras + sizeof(struct extras); i++) {
        buffer[i] ^= 1;
        assert_false(header_extras_are_whole(m));
        assert_null(header_extras(m));
        buffer[i] ^= 1;
    }
    assert_non_null(header_extras(m));
    m->magic ^= 1;
    assert_false(header_is_whole(m));
    m->magic ^= 1;
    assert_true(header_is_whole(m) && header_numbers_are_whole(m));
    m->nlive = 0; /* numbers that are all zero have another sum than 0 */
    m->live_bytes = m->peak_bytes = 0;
    memset(header_at(m, m->state), 0, sizeof(struct stored));
    m->sum_of_numbers = 0;
    assert_false(header_numbers_are_whole(m));
}

/* HD3: the numbers agree with the objects, whatever their checksum says. */
static void test_numbers(void **state)
{
    (void)state;
    mem_heap *heap = mem_heap_in(buffer, 1 << 16, NULL);
    size_t *const numbers[] = {&heap->live_bytes, &heap->peak_bytes};
    const char *wrong = NULL;
    assert_non_null(mem_alloc(heap, 100));
    assert_int_equal(mem_check(heap, NULL), MEM_OK);
    for (int i = 0; i < 2; i++) {
        size_t was = *numbers[i];
        *numbers[i] = 99;
        assert_int_equal(mem_check(heap, NULL), MEM_DAMAGED);
        header_sum_numbers(heap);
        assert_int_equal(mem_check(heap, &wrong), MEM_DAMAGED);
        assert_string_equal(wrong, "there are other objects than the header counts");
        *numbers[i] = was;
        header_sum_numbers(heap);
    }
    heap->nlive++;
    header_sum_numbers(heap);
    assert_int_equal(mem_check(heap, &wrong), MEM_DAMAGED);
    heap->nlive--;
    header_sum_numbers(heap);
    assert_int_equal(mem_check(heap, NULL), MEM_OK);
    assert_int_equal(mem_heap_destroy(heap), MEM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_flags_styles),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_guards),
        cmocka_unit_test(test_a_guard_of_a_larger_region),
        cmocka_unit_test(test_a_part_in_its_place),
        cmocka_unit_test(test_examine),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

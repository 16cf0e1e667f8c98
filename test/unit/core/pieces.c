/* SPDX-License-Identifier: MIT
 *
 * pieces.c - checks that a walk which is taken up again at any place finds the piece there, or the
 * next one (core/pieces.h), against the list of all pieces; and what a walk of damage finds.
 */
#include "unit.h"

#include <string.h>

#include "core/pieces.h"

enum { REGION_BYTES = 1 << 20, NPIECES = 20000 };

static _Alignas(4096) unsigned char region[REGION_BYTES];
static struct heap heap;
static struct piece piece[NPIECES];
static size_t npieces;

/* Makes a heap of chunks and of spans, with free memory in between. */
static void open_heap(void)
{
    static void *object[400];
    uint64_t dice = 7;
    heap = (struct heap){0};
    memset(region, 0, sizeof region);
    heap_open_locked(&heap, (struct region){.base = region, .nbytes = sizeof region}, NULL);
    for (int i = 0; i < 400; i++) {
        size_t nbytes = i % 4 == 0 ? 600 + rnd(&dice, 1000) : rnd(&dice, 300);
        assert_int_equal(heap_take(&heap, nbytes, FIT_ANY, &object[i]), HEAP_OK);
    }
    for (int i = 0; i < 400; i += 3)
        assert_int_equal(heap_free(&heap, object[i]), HEAP_OK);
}

static void list_pieces(void)
{
    size_t at = 0;
    for (npieces = 0; heap_piece_locked(&heap, at, &piece[npieces]); npieces++)
        at += piece[npieces].nbytes;
    assert_true(heap_ends_locked(&heap, at));
    assert_true(npieces > 100);
}

static size_t start_of(const struct piece *p)
{
    return (size_t)(p->start - region);
}

/* Of a free chunk the rest is a piece; of anything else, the next piece is next. */
static void expect_from(size_t offset, size_t i)
{
    struct piece p, expected = piece[i];
    size_t at = offset;
    bool is_chunk = expected.kind == PIECE_FREE;
    if (offset > start_of(&expected) && is_chunk) {
        expected.start = region + offset;
        expected.nbytes -= offset - start_of(&piece[i]);
    } else if (offset > start_of(&expected)) {
        expected = piece[++i];
    }
    bool found = heap_piece_from_locked(&heap, &at, &p);
    assert_int_equal(found, i < npieces);
    if (!found)
        return;
    assert_ptr_equal(p.start, expected.start);
    assert_int_equal(p.nbytes, expected.nbytes);
    assert_int_equal(p.kind, expected.kind);
    assert_int_equal(p.size, expected.size);
    assert_int_equal(at, start_of(&p));
}

static void test_from_any_place(void **state)
{
    (void)state;
    unsigned seen[PIECE_METADATA + 1] = {0};
    open_heap();
    list_pieces();
    for (size_t i = 0; i < npieces; i++) {
        seen[piece[i].kind]++;
        size_t n = piece[i].nbytes < 2000 ? piece[i].nbytes : 2000;
        /* A piece of the library's own need not begin where a walk goes on. */
        for (size_t into = 0; into < (piece[i].kind == PIECE_METADATA ? 1 : n);
             into += GRANULE_BYTES)
            expect_from(start_of(&piece[i]) + into, i);
    }
    for (int kind = PIECE_OBJECT; kind <= PIECE_METADATA; kind++)
        assert_true(seen[kind] > 0);
    size_t end = REGION_BYTES;
    struct piece p;
    assert_false(heap_piece_from_locked(&heap, &end, &p));
}

/* A walk that is taken up within the page map finds what is left of it. */
static void test_from_within_the_page_map(void **state)
{
    (void)state;
    open_heap();
    struct piece p;
    struct chunk map;
    assert_true(ledger_find(&heap.chunks.ledger, heap.spans.pagemap, &map));
    size_t start = (size_t)map.start * GRANULE_BYTES;
    for (uint32_t i = 1; i < map.length; i++) {
        size_t at = start + i * GRANULE_BYTES;
        assert_true(heap_piece_from_locked(&heap, &at, &p));
        assert_int_equal(at, start + i * GRANULE_BYTES);
        assert_int_equal(p.kind, PIECE_METADATA);
        assert_int_equal(p.nbytes, (map.length - i) * GRANULE_BYTES);
    }
}

/* A record that says more slack than its chunk has ends the walk. */
static void test_damage_ends_a_walk(void **state)
{
    (void)state;
    struct pieces_tally t = {0}, none = {0};
    struct cursor c;
    open_heap();
    assert_true(tally_heap_locked(&t, &heap));
    struct btree *b = &heap.chunks.ledger.b;
    assert_true(btree_last(b, BY_ADDRESS, &c));
    while (low_of(cursor_word(&c)) == 0 || low_of(cursor_word(&c)) == CHUNK_RESERVED)
        assert_true(btree_prev(b, &c));
    btree_update(b, &c, word_of(high_of(cursor_word(&c)), UINT32_MAX - 1));
    assert_false(tally_heap_locked(&none, &heap));
    assert_true(none.nobjects < t.nobjects);
    assert_int_equal(check_heap(&heap), HEAP_DAMAGED);
}

/* A heap that is not open has nothing in it. */
static void test_no_region(void **state)
{
    (void)state;
    static struct heap none;
    struct pieces_tally t = {0}, zero = {0};
    assert_true(tally_heap_locked(&t, &none));
    assert_memory_equal(&t, &zero, sizeof t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_any_place),
        cmocka_unit_test(test_from_within_the_page_map),
        cmocka_unit_test(test_damage_ends_a_walk),
        cmocka_unit_test(test_no_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

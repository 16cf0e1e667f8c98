/* SPDX-License-Identifier: MIT
 *
 * spans.c - checks the memory that the library takes for itself (slots/spans.h): pieces of random
 * sizes come and go, and each is compared with what was written into it.
 */
#include "unit.h"

#include <string.h>

#include "slots/queue.h"
#include "slots/spans.h"

enum { REGION_BYTES = 1 << 24, NPIECES = 600, NSTEPS = 20000 };

static _Alignas(SLICE_BYTES) unsigned char memory[REGION_BYTES];
static struct chunks chunks;
static struct spans spans;
static struct piece {
    unsigned char *at;
    size_t nbytes;
} piece[NPIECES];

static void open_spans(void)
{
    memset(memory, 0xA5, sizeof memory);
    chunks_open(&chunks, (struct region){.base = memory, .nbytes = REGION_BYTES}, NULL);
    spans_open(&spans, &chunks);
    assert_int_equal(slice_bytes(&spans), SLICE_BYTES);
}

static bool is_all(const struct piece *p, unsigned char value)
{
    for (size_t i = 0; i < p->nbytes; i++)
        if (p->at[i] != value)
            return false;
    return true;
}

/* The number of a piece is in each of its bytes. */
static void take_piece(int i, size_t nbytes)
{
    piece[i] = (struct piece){spans_take_metadata(&spans, nbytes), nbytes};
    assert_non_null(piece[i].at);
    assert_int_equal((uintptr_t)piece[i].at % LINE_BYTES, 0);
    assert_true(is_all(&piece[i], 0));
    memset(piece[i].at, i % 255 + 1, nbytes);
}

static void free_piece(int i)
{
    assert_true(is_all(&piece[i], (unsigned char)(i % 255 + 1)));
    spans_free_metadata(&spans, piece[i].at, piece[i].nbytes);
    piece[i].at = NULL;
}

/* Returns the lines that all pieces take. */
static size_t count_lines(void)
{
    size_t n = 0;
    for (int i = 0; i < NPIECES; i++)
        n += piece[i].at == NULL ? 0 : ceil_div(piece[i].nbytes, LINE_BYTES);
    return n;
}

/* Returns how many lines of all metadata spans are in use for pieces. */
static size_t count_taken(void)
{
    size_t n = 0;
    for (uint32_t slice = 1; slice <= spans_last_slice(&spans); slice++) {
        const struct span *span = pagemap_span(&spans, slice);
        if (span->slot_bytes == 0)
            continue;
        assert_true(span->purpose == FOR_METADATA && span->sizeclass == LINE_CLASS);
        n += span->nslots - span_nreserved(span) - states_count_free(span->states, span->nslots);
    }
    return n;
}

/* Pieces of the sizes that a heap takes, of a line to 72, overlap nowhere, and are 0 at first. What
 * is taken is what was asked for, and half of the lines at least are in use when most pieces live.
 * When all have gone, so have the spans. */
static void test_pieces(void **state)
{
    (void)state;
    uint64_t dice = 5;
    uint32_t most = 0;
    open_spans();
    for (int step = 0; step < NSTEPS; step++) {
        int i = (int)rnd(&dice, NPIECES);
        if (piece[i].at != NULL)
            free_piece(i);
        else
            take_piece(i, 1 + rnd(&dice, rnd(&dice, 4) == 0 ? 72 * LINE_BYTES : 8 * LINE_BYTES));
        most = spans.nheld > most ? spans.nheld : most;
        if (step % 500 == 0)
            assert_int_equal(count_taken(), count_lines());
    }
    assert_in_range(most, 3, 2 * count_lines() * LINE_BYTES / SLICE_BYTES + 1);
    for (int i = 0; i < NPIECES; i++)
        if (piece[i].at != NULL)
            free_piece(i);
    assert_int_equal(spans.nempty, spans.nheld);
    spans_give_back_empty(&spans);
    assert_int_equal(spans.nheld, 0);
}

/* A piece that no span with free lines has room for gets a span of its own, and those lines serve
 * smaller ones. */
static void test_lines_here_and_there(void **state)
{
    (void)state;
    enum { N = SLICE_BYTES / LINE_BYTES / 2 };
    open_spans();
    for (int i = 0; i < N - 10; i++)
        take_piece(i, 2 * LINE_BYTES);
    assert_int_equal(spans.nheld, 1);
    for (int i = 0; i < N - 10; i += 2)
        free_piece(i);
    take_piece(N, 40 * LINE_BYTES);
    assert_int_equal(spans.nheld, 2);
    unsigned char *last = piece[N].at;
    for (int i = 0; i < N - 10; i += 2)
        take_piece(i, LINE_BYTES);
    assert_int_equal(spans.nheld, 2);
    free_piece(N);
    take_piece(N, SLICE_BYTES / 4);
    assert_ptr_equal((void *)((uintptr_t)last / SLICE_BYTES),
                     (void *)((uintptr_t)piece[N].at / SLICE_BYTES));
    assert_int_equal(count_taken(), count_lines());
}

/* Where no slice is left there is no memory, and nothing has changed. */
static void test_no_room(void **state)
{
    (void)state;
    open_spans();
    while (slices_take(&spans, 1) != NO_SLICE)
        ;
    uint32_t nheld = spans.nheld;
    assert_null(spans_take_metadata(&spans, LINE_BYTES));
    assert_int_equal(spans.nheld, nheld);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_lines_here_and_there),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

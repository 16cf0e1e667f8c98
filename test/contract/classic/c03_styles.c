/* SPDX-License-Identifier: MIT
 *
 * C3: checks the address that first fit, best fit and worst fit choose. Ties go to the lowest
 * address, and an object is cut from the low end of its chunk.
 */
#include "contract.h"

/*   0     160 176    272 288    384 400    720 736    1056
 *   [ A160 ][16][ B96 ][16][ C96 ][16][ D320 ][16][ E320 ][16][ rest ][ 80 ]
 *
 * The objects with capital letters are freed. 80 bytes stay free at the end: too few for any
 * request of these tests, so that worst fit must choose D or E, and enough for the records that
 * the tests add. */
enum { A = 0, B = 176, C = 288, D = 400, E = 736, REST = 1072 };

static void open_holes(void)
{
    static const int sizes[] = {160, 16, 96, 16, 96, 16, 320, 16, 320, 16};
    static const int holes[] = {A, B, C, D, E};
    open_heap(8192);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        get(sizes[i]);
    }
    int rest = m_free_list->size - ROW_BYTES - 80;
    assert_ptr_equal(get(rest), region_base + REST);
    for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
        give(region_base + holes[i]);
    }
}

static long offset_of(void *object)
{
    return (long)((unsigned char *)object - region_base);
}

static void first_fit(void)
{
    open_holes();
    assert_int_equal(offset_of(Mem_Alloc(90, FIRSTFIT)), A);
    assert_int_equal(offset_of(Mem_Alloc(90, FIRSTFIT)), B); /* 64 bytes of A are left. */
    assert_int_equal(offset_of(Mem_Alloc(200, FIRSTFIT)), D);
    assert_int_equal(offset_of(Mem_Alloc(64, FIRSTFIT)), A + 96);
}

static void best_fit(void)
{
    open_holes();
    assert_int_equal(offset_of(Mem_Alloc(90, BESTFIT)), B);
    assert_int_equal(offset_of(Mem_Alloc(90, BESTFIT)), C);
    assert_int_equal(offset_of(Mem_Alloc(90, BESTFIT)), A);
    assert_int_equal(offset_of(Mem_Alloc(60, BESTFIT)), A + 96);
    assert_int_equal(offset_of(Mem_Alloc(90, BESTFIT)), D);
}

static void worst_fit(void)
{
    open_holes();
    assert_int_equal(offset_of(Mem_Alloc(90, WORSTFIT)), D);
    assert_int_equal(offset_of(Mem_Alloc(90, WORSTFIT)), E);
    assert_int_equal(offset_of(Mem_Alloc(90, WORSTFIT)), D + 96);
    assert_int_equal(offset_of(Mem_Alloc(90, WORSTFIT)), E + 96);
    assert_int_equal(offset_of(Mem_Alloc(90, WORSTFIT)), A);
}

static void no_style(void)
{
    open_holes();
    assert_int_equal(offset_of(Mem_Alloc(90)), B);
    assert_int_equal(offset_of(Mem_Alloc(90)), C);
    assert_int_equal(offset_of(Mem_Alloc(90)), A);
}

/* Calls the symbol itself, as a program with its own header does. */
static void unknown_style_of_the_symbol(void)
{
    open_holes();
    assert_int_equal(offset_of((Mem_Alloc)(90, -12345)), B);
    assert_int_equal(offset_of((Mem_Alloc)(90, 3)), C);
    assert_int_equal(offset_of((Mem_Alloc)(90, WORSTFIT)), D);
    assert_int_equal(offset_of((Mem_Alloc)(90, FIRSTFIT)), A);
}

static void unknown_style(void)
{
    open_holes();
    char *before = picture();
    clear_errors();
    assert_null(Mem_Alloc(90, (int)the_number));
    assert_errors(E_BAD_ARGS, EINVAL);
    assert_true(same_picture(before));
}

static void is_better(MemNodePtr node, int style, MemNodePtr *best)
{
    if (*best == NULL || (style == BESTFIT && node->size < (*best)->size) ||
        (style == WORSTFIT && node->size > (*best)->size)) {
        *best = node;
    }
}

/* The naive model: look at each free chunk in address order. */
static void *expected(int size, int style)
{
    MemNodePtr best = NULL;
    for (MemNodePtr node = m_free_list; node != NULL; node = node->next) {
        if (node->size >= size) {
            is_better(node, style, &best);
        }
    }
    return best;
}

static void *alloc_in_any_form(int size, int style, bool named)
{
    return named ? Mem_Alloc(size, style) : Mem_Alloc(size);
}

static void as_the_model(void)
{
    unsigned seed = 4;
    int nplaced = 0, nrefused = 0;
    open_heap(1 << 16);
    for (int i = 0; i < 6000; i++) {
        int size = 1 + random_below(&seed, 900);
        bool named = random_below(&seed, 4) > 0;
        int style = named ? random_below(&seed, 3) : BESTFIT;
        void *place = expected(size, style);
        void *start = alloc_in_any_form(size, style, named);
        assert_ptr_equal(start, place);
        if (start != NULL) {
            enter_object(start, size);
            nplaced++;
        } else {
            nrefused++;
        }
        while (nobjects > 0 && (start == NULL || random_below(&seed, 100) < 47)) {
            give(objects[random_below(&seed, nobjects)].start);
            start = region_base;
        }
    }
    assert_true(nplaced > 3000 && nrefused > 100);
    assert_true(all_intact());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE("C3 first fit takes the lowest chunk that is large enough", first_fit),
        ALONE("C3 best fit takes the smallest, ties to the lowest address", best_fit),
        ALONE("C3 worst fit takes the largest, ties to the lowest address", worst_fit),
        ALONE("C3 no style is best fit", no_style),
        ALONE("C3 the symbol reads a style that it does not know as none",
              unknown_style_of_the_symbol),
        ALONE_WITH("C3 style 3 is refused", unknown_style, 3),
        ALONE_WITH("C3 style -1 is refused", unknown_style, -1),
        ALONE_WITH("C3 style INT_MIN is refused", unknown_style, INT_MIN),
        ALONE("C3 each of 6,000 placements is as a naive model says", as_the_model),
    };
    return cmocka_run_group_tests_name("C3", tests, NULL, NULL);
}

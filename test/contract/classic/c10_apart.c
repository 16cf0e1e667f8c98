/* SPDX-License-Identifier: MIT
 *
 * C10: checks that all metadata are apart from the objects: a write past either end of an object
 * that stays within payload changes no answer of the library.
 *
 * test/symbols.sh checks the rest of C10: what libmem.so imports and how much it keeps outside
 * the region.
 */
#include "contract.h"

static unsigned char *a, *b, *c, *d;

/* [a 100][b 33][c 500][d 8][ free ] */
static void open_four(void)
{
    open_heap(4096);
    a = get(100);
    b = get(33);
    c = get(500);
    d = get(8);
}

/* Only the answers: the bytes of the objects are not compared, since the tests overwrite them. */
static char *answers(void)
{
    char *text = NULL;
    size_t ntext = 0;
    FILE *out = open_memstream(&text, &ntext);
    for (unsigned char *p = region_base - 10; p < region_base + region_bytes + 10; p++) {
        fprintf(out, "%ld %d %d\n", (long)(p - region_base), Mem_IsValid(p), Mem_GetSize(p));
    }
    draw_list(out);
    char *dump = dump_text();
    fprintf(out, "%s", dump);
    free(dump);
    fclose(out);
    return text;
}

static void assert_same_answers(char *before)
{
    char *now = answers();
    assert_string_equal(before, now);
    free(before);
    free(now);
    assert_int_equal(Mem_Check(), 0);
}

/* Fills [from, to) with a value that the library might mistake for its own metadata, or with
 * random bytes if value is negative. */
static void overwrite(unsigned char *from, unsigned char *to, int value)
{
    unsigned seed = 9;
    for (unsigned char *p = from; p < to; p++) {
        *p = (unsigned char)(value < 0 ? next_random(&seed) : (unsigned)value);
    }
}

static void check_overwrite(unsigned char *from, unsigned char *to)
{
    static const int values[] = {0x00, 0xff, 0x01, 0x10, -1};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char *before = answers();
        overwrite(from, to, values[i]);
        assert_same_answers(before);
    }
}

static void past_the_end(void)
{
    open_four();
    check_overwrite(a + 100, a + 101);
    check_overwrite(a + 100, a + 112);
    check_overwrite(a, b + 33);
    check_overwrite(a, d + 8);
}

static void before_the_start(void)
{
    open_four();
    check_overwrite(d - 1, d);
    check_overwrite(c - 16, c);
    check_overwrite(a, d);
}

static void frees_still_work(void)
{
    open_four();
    overwrite(a, d + 16, -1);
    assert_int_equal(Mem_Free(b + 32), 0);
    assert_int_equal(Mem_Free(b), -1);
    assert_int_equal(Mem_Free(d), 0);
    assert_int_equal(Mem_Free(a), 0);
    assert_int_equal(Mem_Free(c + 499), 0);
    assert_true(is_whole_again());
}

/* Overwrites the objects and the hole between them. The node in the hole is lost, which C12 lets
 * the library report, but no answer about an object changes. */
static void across_a_hole(void)
{
    open_four();
    give(c);
    overwrite(a, d + 16, -1);
    assert_int_equal(Mem_GetSize(a), 100);
    assert_int_equal(Mem_GetSize(b + 32), 33);
    assert_int_equal(Mem_IsValid(b + 33), 0);
    assert_int_equal(Mem_IsValid(c), 0);
    assert_int_equal(Mem_IsValid(c + 499), 0);
    assert_int_equal(Mem_GetSize(d), 8);
    assert_int_equal(Mem_Free(c), -1);
    assert_int_equal(Mem_Free(b), 0);
    assert_int_equal(Mem_Free(a), 0);
    assert_int_equal(Mem_Free(d), 0);
    Mem_Check(); /* May report the lost node of the hole. */
    assert_int_equal(Mem_Check(), 0);
    assert_true(is_whole_again());
}

/* Uses a region for a while and overwrites all payload at every step. */
static void long_history_overwritten(void)
{
    unsigned seed = 10;
    open_heap(1 << 16);
    for (int i = 0; i < 3000; i++) {
        int size = 1 + random_below(&seed, 400);
        void *start = Mem_Alloc(size);
        if (start != NULL) {
            enter_object(start, size);
            memset(start, 0xff, (size_t)round_up_16(size));
        }
        while (nobjects > 0 && (start == NULL || random_below(&seed, 2) == 0)) {
            struct object *o = &objects[random_below(&seed, nobjects)];
            assert_int_equal(Mem_GetSize(o->start + o->size - 1), o->size);
            give(o->start);
            start = region_base;
        }
    }
    assert_int_equal(Mem_Check(), 0);
    give_all(&seed);
    assert_true(is_whole_again());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE("C10 overruns past the end change no answer", past_the_end),
        ALONE("C10 underruns before the start change no answer", before_the_start),
        ALONE("C10 overwritten objects can be freed", frees_still_work),
        ALONE("C10 an overrun across a hole changes no answer about objects", across_a_hole),
        ALONE("C10 a long history with all payload overwritten", long_history_overwritten),
    };
    return cmocka_run_group_tests_name("C10", tests, NULL, NULL);
}

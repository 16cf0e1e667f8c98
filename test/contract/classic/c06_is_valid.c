/* SPDX-License-Identifier: MIT
 *
 * C6: checks that Mem_IsValid returns 1 from the first to the last requested byte of a live
 * object and 0 everywhere else, and that it sets no error when it returns 0.
 */
#include "contract.h"

static int expected(const unsigned char *p)
{
    for (int i = 0; i < nobjects; i++) {
        if (p >= objects[i].start && p < objects[i].start + objects[i].size) {
            return 1;
        }
    }
    return 0;
}

static void check_every_address(void)
{
    for (unsigned char *p = region_base - 100; p < region_base + region_bytes + 100; p++) {
        if (Mem_IsValid(p) != expected(p)) {
            fail_msg("offset %ld: expected %d", (long)(p - region_base), expected(p));
        }
    }
}

static void to_the_byte(void)
{
    open_heap(4096);
    check_every_address();
    for (int size = 1; size < 40; size += 3) {
        get(size);
    }
    get(500);
    check_every_address();
    give(objects[3].start);
    give(objects[7].start);
    give(objects[0].start);
    check_every_address();
    unsigned seed = 7;
    give_all(&seed);
    check_every_address();
}

static void elsewhere(void)
{
    int on_stack = 0;
    open_heap(4096);
    get(100);
    clear_errors();
    assert_int_equal(Mem_IsValid(NULL), 0);
    assert_int_equal(Mem_IsValid(&on_stack), 0);
    assert_int_equal(Mem_IsValid((void *)(uintptr_t)-1), 0);
    assert_int_equal(Mem_IsValid((void *)1), 0);
    assert_int_equal(Mem_IsValid(region_base - 1), 0);
    assert_int_equal(Mem_IsValid(region_base + region_bytes), 0);
    assert_int_equal(Mem_IsValid((void *)((uintptr_t)region_base + ((uintptr_t)1 << 32))), 0);
    assert_errors(0, 0);
}

static void before_init(void)
{
    int on_stack = 0;
    clear_errors();
    assert_int_equal(Mem_IsValid(&on_stack), 0);
    assert_int_equal(Mem_IsValid(NULL), 0);
    assert_errors(0, 0);
}

static void changes_nothing(void)
{
    open_heap(4096);
    unsigned char *p = get(100);
    char *before = picture();
    for (int i = -20; i < 200; i++) {
        Mem_IsValid(p + i);
    }
    assert_true(same_picture(before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE("C6 valid from the first to the last byte, and nowhere else", to_the_byte),
        ALONE("C6 an address elsewhere is not valid, and no failure", elsewhere),
        ALONE("C6 before Mem_Init nothing is valid", before_init),
        ALONE("C6 asking changes nothing", changes_nothing),
    };
    return cmocka_run_group_tests_name("C6", tests, NULL, NULL);
}

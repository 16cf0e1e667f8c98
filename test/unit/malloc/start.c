/* SPDX-License-Identifier: MIT
 *
 * start.c - checks how much of a limit on address space the heap gets (malloc/start.h).
 */
#include "unit.h"

#include "malloc/copy.h"
#include "malloc/start.h"

enum { MIB = 1 << 20 };

/* The heap of this process opens before main, as it does wherever start.c is, and is not used.
 * copy.c, which needs all of malloc.c, is left out. */
void copy_open(void)
{
}

static size_t mib_within(size_t limit, size_t taken)
{
    return shim_bytes_within(limit * MIB, taken * MIB) / MIB;
}

/* A sixteenth of what is left is spared, but 72 MiB at least. */
static void test_a_limit_leaves_room_for_stacks(void **unused)
{
    (void)unused;
    assert_int_equal(mib_within(5000, 200), 4800 - 4800 / 16);
    assert_int_equal(mib_within(1300, 100), 1200 - 75);
    assert_int_equal(mib_within(1252, 100), 1152 - 72);
    assert_int_equal(mib_within(1100, 100), 1000 - 72);
    assert_int_equal(mib_within(244, 100), 144 - 72);
}

/* Where that would be more than half, half is spared. */
static void test_a_small_limit_is_halved(void **unused)
{
    (void)unused;
    assert_int_equal(mib_within(242, 100), 142 / 2);
    assert_int_equal(mib_within(110, 100), 5);
    assert_int_equal(shim_bytes_within(101, 100), 1); /* the heap has the byte that cannot be cut */
}

static void test_nothing_is_left_of_a_limit(void **unused)
{
    (void)unused;
    assert_int_equal(shim_bytes_within(100, 100), 0);
    assert_int_equal(shim_bytes_within(100, 101), 0);
    assert_int_equal(shim_bytes_within(100, 5000), 0);
    assert_int_equal(shim_bytes_within(0, 0), 0);
}

/* Where the system does not say how much is taken, that counts as half of the limit. */
static void test_it_is_unknown_how_much_is_taken(void **unused)
{
    (void)unused;
    for (size_t limit = 100; limit <= 10000; limit += 100)
        assert_int_equal(shim_bytes_within(limit * MIB, SIZE_MAX),
                         shim_bytes_within(limit * MIB, limit / 2 * MIB));
    assert_int_equal(shim_bytes_within((size_t)6400 * MIB, SIZE_MAX) / MIB, 3200 - 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_limit_leaves_room_for_stacks),
        cmocka_unit_test(test_a_small_limit_is_halved),
        cmocka_unit_test(test_nothing_is_left_of_a_limit),
        cmocka_unit_test(test_it_is_unknown_how_much_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

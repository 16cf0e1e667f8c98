/* SPDX-License-Identifier: MIT
 *
 * canary.c - checks canaries (malloc/canary.h): each changed byte is seen, each family is told from
 * the others, and a string ends at the first byte.
 */
#include "unit.h"

#include <string.h>

#include "malloc/canary.h"

static const uint64_t secret[2] = {0x123456789abcdef0, 0xfedcba9876543210};
static unsigned char memory[256];

static void test_an_intact_canary(void **state)
{
    (void)state;
    for (size_t slack = 0; slack < 100; slack++) {
        for (int family = 0; family < NFAMILIES; family++) {
            memset(memory, 0x77, sizeof memory);
            canary_write(memory + 16, slack, (enum family)family);
            assert_int_equal(canary_intact(memory + 16, slack, (enum family)family),
                             canary_length(slack));
            assert_int_equal(memory[15], 0x77);
            assert_int_equal(memory[16 + canary_length(slack)], 0x77);
        }
    }
}

/* CA2 */
static void test_each_change_is_seen(void **state)
{
    (void)state;
    for (size_t slack = 1; slack <= CANARY_MAX; slack++) {
        for (size_t at = 0; at < slack; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                canary_write(memory + 3, slack, FAMILY_MALLOC);
                memory[3 + at] ^= (unsigned char)(1u << bit);
                assert_int_equal(canary_intact(memory + 3, slack, FAMILY_MALLOC), at);
                assert_int_equal(canary_kept(memory + 3, slack, FAMILY_MALLOC), slack - 1);
            }
        }
    }
}

static void test_families_differ(void **state)
{
    (void)state;
    for (size_t at = 0; at < 100; at++) {
        for (int a = 0; a < NFAMILIES; a++) {
            canary_write(memory + at, CANARY_BYTES, (enum family)a);
            for (int b = 0; b < NFAMILIES; b++)
                assert_int_equal(canary_intact(memory + at, CANARY_BYTES, (enum family)b) ==
                                     CANARY_BYTES,
                                 a == b);
        }
    }
}

/* CA1 */
static void test_secret_address_and_first_byte(void **state)
{
    static const uint64_t one[2] = {1, 2}, other[2] = {1, 12345};
    unsigned char first[CANARY_BYTES];
    (void)state;
    canary_open(one);
    canary_write(memory, CANARY_BYTES, FAMILY_NEW);
    memcpy(first, memory, sizeof first);
    assert_int_equal(first[0], 0);
    canary_write(memory + 16, CANARY_BYTES, FAMILY_NEW);
    assert_memory_not_equal(first, memory + 16, sizeof first);
    canary_open(other);
    canary_write(memory, CANARY_BYTES, FAMILY_NEW);
    assert_memory_not_equal(first, memory, sizeof first);
    assert_int_equal(memory[0], 0);
}

/* CA2: each of the 56 bits behind the first byte depends on the address. */
static void test_no_bit_is_known(void **state)
{
    unsigned char is_set[CANARY_BYTES] = {0}, is_clear[CANARY_BYTES] = {0};
    (void)state;
    canary_open(secret);
    for (size_t at = 0; at + CANARY_BYTES <= sizeof memory; at++) {
        canary_write(memory + at, CANARY_BYTES, FAMILY_MALLOC);
        for (size_t i = 0; i < CANARY_BYTES; i++) {
            is_set[i] |= memory[at + i];
            is_clear[i] |= (unsigned char)~memory[at + i];
        }
    }
    assert_int_equal(is_set[0], 0);
    for (size_t i = 1; i < CANARY_BYTES; i++)
        assert_true(is_set[i] == 0xFF && is_clear[i] == 0xFF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_intact_canary),
        cmocka_unit_test(test_each_change_is_seen),
        cmocka_unit_test(test_families_differ),
        cmocka_unit_test(test_secret_address_and_first_byte),
        cmocka_unit_test(test_no_bit_is_known),
    };
    canary_open(secret);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

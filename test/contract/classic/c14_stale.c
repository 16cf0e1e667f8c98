/* SPDX-License-Identifier: MIT
 *
 * C14: checks what the library cannot tell from an address: a stale pointer whose memory was
 * handed out again is a valid pointer to the new object.
 */
#include "contract.h"

/* A stale pointer is refused until its memory is handed out again. */
static void stale_and_free(void)
{
    open_heap(4096);
    unsigned char *stale = get(100);
    get(100);
    give(stale);
    assert_int_equal(Mem_IsValid(stale), 0);
    assert_free_refused(stale);
}

static void stale_and_used_again(void)
{
    open_heap(4096);
    unsigned char *stale = get(100);
    get(100);
    give(stale);
    unsigned char *fresh = Mem_Alloc(90, FIRSTFIT);
    assert_ptr_equal(fresh, stale);
    clear_errors();
    assert_int_equal(Mem_IsValid(stale), 1);
    assert_int_equal(Mem_GetSize(stale), 90);
    assert_int_equal(Mem_Free(stale), 0);
    assert_errors(0, 0);
    assert_free_refused(fresh);
}

/* An address from the middle of the old object is judged by the bounds of the new object. */
static void stale_with_other_bounds(void)
{
    open_heap(4096);
    unsigned char *stale = get(300);
    get(16);
    give(stale);
    assert_ptr_equal(Mem_Alloc(50, FIRSTFIT), stale);
    assert_int_equal(Mem_GetSize(stale + 49), 50);
    assert_free_refused(stale + 50);
    assert_free_refused(stale + 299);
    assert_int_equal(Mem_Free(stale + 20), 0);
}

static void end_is_the_next_start(void)
{
    open_heap(4096);
    unsigned char *p = Mem_Alloc(64, FIRSTFIT);
    unsigned char *q = Mem_Alloc(200, FIRSTFIT);
    assert_ptr_equal(p + 64, q);
    assert_int_equal(Mem_GetSize(p + 64), 200);
    assert_int_equal(Mem_Free(p + 64), 0);
    assert_int_equal(Mem_IsValid(q), 0);
    assert_int_equal(Mem_GetSize(p), 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE("C14 a stale pointer to free memory is refused", stale_and_free),
        ALONE("C14 a stale pointer to memory in use again is a valid one", stale_and_used_again),
        ALONE("C14 a stale pointer is judged by the bounds of the new object",
              stale_with_other_bounds),
        ALONE("C14 one past the end may be the first byte of the next", end_is_the_next_start),
    };
    return cmocka_run_group_tests_name("C14", tests, NULL, NULL);
}

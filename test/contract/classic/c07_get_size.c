/* SPDX-License-Identifier: MIT
 *
 * C7: checks that Mem_GetSize returns the requested size from any address inside the object, and
 * -1 from any other address.
 */
#include "contract.h"

static int expected(const unsigned char *p)
{
    for (int i = 0; i < nobjects; i++) {
        if (p >= objects[i].start && p < objects[i].start + objects[i].size) {
            return objects[i].size;
        }
    }
    return -1;
}

static void check_every_address(void)
{
    for (unsigned char *p = region_base - 100; p < region_base + region_bytes + 100; p++) {
        if (Mem_GetSize(p) != expected(p)) {
            fail_msg("offset %ld: expected %d", (long)(p - region_base), expected(p));
        }
    }
}

static void from_any_address(void)
{
    open_heap(4096);
    for (int size = 1; size < 40; size += 3) {
        get(size);
    }
    get(777);
    check_every_address();
    give(objects[3].start);
    give(objects[7].start);
    check_every_address();
}

/* When a hole is taken whole, the chunk is larger than the object: the reported size must be the
 * requested one. */
static void of_the_request(void)
{
    open_heap(4096);
    unsigned char *p = get(200);
    get(16);
    for (int size = 200; size > 0; size -= 7) {
        give(p);
        p = Mem_Alloc(size, FIRSTFIT);
        assert_ptr_equal(p, region_base);
        enter_object(p, size);
        check_every_address();
    }
}

static void refused(void)
{
    open_heap(4096);
    unsigned char *p = get(100);
    int on_stack = 0;
    void *others[] = {NULL,
                      &on_stack,
                      p + 100,
                      region_base - 1,
                      region_base + region_bytes,
                      p + 500,
                      (void *)(uintptr_t)-1};
    char *before = picture();
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        clear_errors();
        assert_int_equal(Mem_GetSize(others[i]), -1);
        assert_errors(E_BAD_POINTER, EINVAL);
    }
    assert_true(same_picture(before));
}

static void before_init(void)
{
    int on_stack = 0;
    clear_errors();
    assert_int_equal(Mem_GetSize(&on_stack), -1);
    assert_errors(E_BAD_POINTER, EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE("C7 the size from each address inside, -1 from each other", from_any_address),
        ALONE("C7 the size is that of the request, not of the chunk", of_the_request),
        ALONE("C7 an address in no object is refused", refused),
        ALONE("C7 before Mem_Init every address is refused", before_init),
    };
    return cmocka_run_group_tests_name("C7", tests, NULL, NULL);
}

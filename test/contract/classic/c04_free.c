/* SPDX-License-Identifier: MIT
 *
 * C4: checks that any address inside a live object frees it, and that any other address is
 * refused, changes nothing, and is never read or written through.
 */
#include "contract.h"

static unsigned char *first, *hole, *last;

/* [first 100, slack 12][hole 200, freed][last 40, slack 8][ free ] */
static void open_three(void)
{
    open_heap(4096);
    first = get(100);
    hole = get(200);
    last = get(40);
    give(hole);
}

static void inside(void)
{
    open_three();
    clear_errors();
    assert_int_equal(Mem_Free(first + the_number), 0);
    assert_errors(0, 0);
    assert_int_equal(Mem_IsValid(first), 0);
    assert_int_equal(Mem_IsValid(first + 99), 0);
    assert_int_equal(Mem_GetSize(last), 40);
    assert_int_equal(Mem_Free(last), 0);
    assert_true(is_whole_again());
}

static void each_byte_inside(void)
{
    open_three();
    for (int i = 0; i < 60; i++) {
        unsigned char *p = Mem_Alloc(60, FIRSTFIT);
        assert_int_equal(Mem_Free(p + i), 0);
        assert_int_equal(Mem_Free(p + i), -1);
    }
}

static void null_is_nothing(void)
{
    clear_errors();
    assert_int_equal(Mem_Free(NULL), 0);
    open_three();
    char *before = picture();
    assert_int_equal(Mem_Free(NULL), 0);
    assert_errors(0, 0);
    assert_true(same_picture(before));
}

static void one_past_the_end(void)
{
    open_three();
    assert_free_refused(first + 100);
    assert_free_refused(last + 40);
    unsigned char *even = get(64); /* It has no slack: the next byte belongs to the hole. */
    assert_free_refused(even + 64);
}

static void slack(void)
{
    open_three();
    for (int i = 100; i < 112; i++) {
        assert_free_refused(first + i);
    }
    assert_free_refused(last + 47);
}

static void free_memory(void)
{
    open_three();
    assert_free_refused(hole + 100);
    assert_free_refused(hole + 207);
    assert_free_refused(last + 48);
    assert_free_refused(last + 1000);
}

static void twice(void)
{
    open_three();
    assert_free_refused(hole);
    give(first);
    assert_free_refused(first);
    assert_free_refused(first + 99);
    give(last);
    assert_free_refused(last);
    assert_free_refused(first);
    assert_true(is_whole_again());
}

static void twice_at_the_end(void)
{
    open_three();
    give(last);
    assert_free_refused(last);
}

static void stack_code_data(void)
{
    static int data;
    int on_stack = 0;
    void (*code)(void) = stack_code_data;
    void *code_address = NULL;
    memcpy(&code_address, &code, sizeof(code_address));
    open_three();
    assert_free_refused(&on_stack);
    assert_free_refused(&data);
    assert_free_refused(code_address);
    assert_free_refused(&m_error);
    void *from_malloc = malloc(10);
    assert_free_refused(from_malloc);
    free(from_malloc);
}

static void other_mapping(void)
{
    open_three();
    void *other = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(other, MAP_FAILED);
    assert_free_refused(other);
    munmap(other, 4096);
    assert_free_refused(other);
}

static void metadata(void)
{
    open_three();
    unsigned char *end = region_base + region_bytes;
    for (int i = 1; i <= 5 * ROW_BYTES; i++) {
        assert_free_refused(end - i);
    }
}

static void outside(void)
{
    open_three();
    assert_free_refused(region_base - 1);
    assert_free_refused(region_base - 16);
    assert_free_refused(region_base + region_bytes);
    assert_free_refused(region_base + region_bytes + 16);
    assert_free_refused((void *)1);
    assert_free_refused((void *)(uintptr_t)-1);
    assert_free_refused((void *)(uintptr_t)-16);
    assert_free_refused((void *)(UINTPTR_MAX / 2));
}

/* If the library cut the offset to 32 bits, these addresses would lie in the region. */
static void four_gigabytes_off(void)
{
    open_three();
    assert_free_refused((void *)((uintptr_t)first + ((uintptr_t)1 << 32)));
    assert_free_refused((void *)((uintptr_t)first - ((uintptr_t)1 << 32)));
    assert_free_refused((void *)((uintptr_t)first + ((uintptr_t)1 << 36)));
}

static bool in_an_object(const unsigned char *p)
{
    for (int i = 0; i < nobjects; i++) {
        if (p >= objects[i].start && p < objects[i].start + objects[i].size) {
            return true;
        }
    }
    return false;
}

/* Compares the bytes of the region after each call, but the whole picture only at the end: taking
 * a picture after each of 6,000 calls would be too slow. */
static void every_address(void)
{
    static unsigned char before[4096];
    int nrefused = 0;
    open_heap(4096);
    for (int size = 1; size < 300; size += 37) {
        get(size);
    }
    give(objects[2].start);
    give(objects[5].start);
    char *whole = picture();
    memcpy(before, region_base, sizeof(before));
    for (unsigned char *p = region_base - 1000; p < region_base + region_bytes + 1000; p++) {
        if (!in_an_object(p)) {
            assert_int_equal(Mem_Free(p), -1);
            assert_memory_equal(before, region_base, sizeof(before));
            nrefused++;
        }
    }
    assert_true(nrefused > 4000);
    assert_true(same_picture(whole));
}

static void before_init(void)
{
    int on_stack = 0;
    clear_errors();
    assert_int_equal(Mem_Free(&on_stack), -1);
    assert_errors(E_BAD_POINTER, EINVAL);
    assert_int_equal(Mem_Free((void *)1), -1);
    open_heap(4096);
    assert_true(is_whole_again());
}

/* The pages that the addresses point to are made inaccessible: following a pointer would crash. */
static void never_followed(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    open_heap((int)(32 * page));
    unsigned char *large = get((int)(8 * page));
    unsigned char *in_free = region_base + 16 * page;
    unsigned char *in_large = large + 4 * page;
    assert_int_equal(mprotect(in_free, page, PROT_NONE), 0);
    assert_int_equal(mprotect(in_large, page, PROT_NONE), 0);
    assert_int_equal(Mem_Free(in_free + 100), -1);
    assert_int_equal(m_error, E_BAD_POINTER);
    assert_int_equal(Mem_IsValid(in_large + 100), 1);
    assert_int_equal(Mem_GetSize(in_large + 100), (int)(8 * page));
    assert_int_equal(Mem_Free(in_large + 100), 0);
    assert_int_equal(Mem_Free(in_large + 100), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE_WITH("C4 free of the first byte", inside, 0),
        ALONE_WITH("C4 free of a byte in the middle", inside, 57),
        ALONE_WITH("C4 free of the last byte", inside, 99),
        ALONE("C4 free of each byte of an object", each_byte_inside),
        ALONE("C4 free of NULL is 0 and nothing happens", null_is_nothing),
        ALONE("C4 free of one past the end is refused", one_past_the_end),
        ALONE("C4 free of rounding slack is refused", slack),
        ALONE("C4 free of free memory is refused", free_memory),
        ALONE("C4 free of what is already free is refused", twice),
        ALONE("C4 free of what has joined the free end is refused", twice_at_the_end),
        ALONE("C4 free of stack, code, data and another heap is refused", stack_code_data),
        ALONE("C4 free of another mapping, or of none, is refused", other_mapping),
        ALONE("C4 free of the region's own metadata is refused", metadata),
        ALONE("C4 free of addresses outside the region is refused", outside),
        ALONE("C4 free of an address 4 GiB away is refused", four_gigabytes_off),
        ALONE("C4 free of each address that is in no object is refused", every_address),
        ALONE("C4 free before Mem_Init is refused", before_init),
        ALONE("C4 free never reads or writes through the pointer", never_followed),
    };
    return cmocka_run_group_tests_name("C4", tests, NULL, NULL);
}

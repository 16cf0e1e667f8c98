/* SPDX-License-Identifier: MIT
 *
 * C2: checks that Mem_Alloc(size) returns a new, aligned object of exactly that size, and NULL
 * only if no free chunk can hold it or the arguments are bad.
 */
#include "contract.h"

static int largest_free_chunk(void)
{
    int largest = 0;
    for (MemNodePtr node = m_free_list; node != NULL; node = node->next) {
        largest = node->size > largest ? node->size : largest;
    }
    return largest;
}

static void aligned(void)
{
    open_heap(1 << 20);
    for (int size = 1; size <= 600; size++) {
        uintptr_t address = (uintptr_t)get(size);
        assert_int_equal(address % 8, 0);
        assert_true(size < 16 || address % 16 == 0);
    }
}

static void exact_size(void)
{
    open_heap(1 << 20);
    for (int size = 1; size <= 600; size++) {
        unsigned char *p = get(size);
        assert_int_equal(Mem_GetSize(p), size);
        assert_int_equal(Mem_IsValid(p + size - 1), 1);
        assert_int_equal(Mem_IsValid(p + size), 0); /* The next byte is free or slack. */
    }
}

/* get() fills each object with its own pattern, so objects that overlap would spoil each other. */
static void apart(void)
{
    unsigned seed = 2;
    open_heap(1 << 18);
    for (int i = 0; i < 4000; i++) {
        int size = 1 + random_below(&seed, 700);
        if (nobjects > 100) {
            give(objects[random_below(&seed, nobjects)].start);
        }
        get(size);
    }
    assert_true(all_intact());
    give_all(&seed);
    assert_true(is_whole_again());
}

static void null_only_if_full(void)
{
    unsigned seed = 3;
    int nrefused = 0;
    open_heap(1 << 16);
    for (int i = 0; i < 5000; i++) {
        int size = 1 + random_below(&seed, (int)the_number);
        bool fits = size <= largest_free_chunk();
        clear_errors();
        void *start = Mem_Alloc(size);
        assert_int_equal(start != NULL, fits);
        if (fits) {
            assert_errors(0, 0);
            enter_object(start, size);
        } else {
            assert_errors(E_NO_SPACE, ENOMEM);
            nrefused++;
        }
        if (!fits || random_below(&seed, 3) == 0) {
            give(objects[random_below(&seed, nobjects)].start);
        }
    }
    assert_true(nrefused > 100);
}

/* The size that the free list shows can be allocated, and one byte more cannot. */
static void largest_fits_one_more_not(void)
{
    open_heap(20000);
    get(100);
    int largest = largest_free_chunk();
    assert_null(Mem_Alloc(largest + 1));
    assert_int_equal(m_error, E_NO_SPACE);
    assert_int_equal(Mem_GetSize(get(largest)), largest);
    assert_null(m_free_list);
    clear_errors();
    assert_null(Mem_Alloc(1));
    assert_errors(E_NO_SPACE, ENOMEM);
}

static void refused_changes_nothing(void)
{
    open_heap(4096);
    get(100);
    get(40);
    give(objects[0].start);
    char *before = picture();
    clear_errors();
    assert_null(Mem_Alloc((int)the_number));
    assert_errors(the_number <= 0 ? E_BAD_ARGS : E_NO_SPACE, the_number <= 0 ? EINVAL : ENOMEM);
    assert_true(same_picture(before));
}

static void before_init(void)
{
    clear_errors();
    assert_null(Mem_Alloc(1));
    assert_errors(E_BAD_ARGS, EINVAL);
    clear_errors();
    assert_null(Mem_Alloc(1, FIRSTFIT));
    assert_errors(E_BAD_ARGS, EINVAL);
    open_heap(4096);
    get(1);
}

static void argument_once(void)
{
    int size = 8;
    open_heap(4096);
    assert_int_equal(Mem_GetSize(Mem_Alloc(size++)), 8);
    assert_int_equal(Mem_GetSize(Mem_Alloc(size++, BESTFIT)), 9);
    assert_int_equal(size, 10);
}

static void taken_address(void)
{
    void *(*alloc)(int, int) = Mem_Alloc;
    open_heap(4096);
    assert_int_equal(Mem_GetSize(alloc(123, FIRSTFIT)), 123);
}

/* Skips the test if the system refuses to map so large a region. */
static void largest_region(void)
{
    if (Mem_Init(INT_MAX) != 0) {
        assert_int_equal(m_error, E_NO_SPACE);
        _exit(CHILD_SKIPS);
    }
    unsigned char *base = (unsigned char *)m_free_list;
    assert_null(Mem_Alloc(INT_MAX));
    assert_int_equal(m_error, E_NO_SPACE);
    int most = (int)((1u << 31) - 2 * ROW_BYTES);
    assert_ptr_equal(Mem_Alloc(most), base);
    assert_int_equal(Mem_GetSize(base + most - 1), most);
    assert_int_equal(Mem_Free(base + most - 1), 0);
    assert_int_equal(Mem_Check(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE("C2 an object is 8-byte aligned, from 16 bytes on 16-byte aligned", aligned),
        ALONE("C2 an object is of exactly the size that was asked for", exact_size),
        ALONE("C2 objects do not overlap", apart),
        ALONE_WITH("C2 NULL if and only if no free chunk can hold it", null_only_if_full, 1500),
        ALONE_WITH("C2 NULL only if no free chunk can hold it, if there is no room for records",
                   null_only_if_full, 30),
        ALONE("C2 the largest chunk fits whole, one byte more does not", largest_fits_one_more_not),
        ALONE_WITH("C2 a size of 0 is refused", refused_changes_nothing, 0),
        ALONE_WITH("C2 a size of -1 is refused", refused_changes_nothing, -1),
        ALONE_WITH("C2 a size of INT_MIN is refused", refused_changes_nothing, INT_MIN),
        ALONE_WITH("C2 a size of INT_MAX has no room", refused_changes_nothing, INT_MAX),
        ALONE_WITH("C2 a size of INT_MAX - 7 has no room", refused_changes_nothing, INT_MAX - 7),
        ALONE_WITH("C2 a size larger than the region has no room", refused_changes_nothing, 65536),
        ALONE("C2 before Mem_Init every size is refused", before_init),
        ALONE("C2 an argument is evaluated once", argument_once),
        ALONE("C2 the address of Mem_Alloc can be taken", taken_address),
        ALONE("C2 the largest region there is", largest_region),
    };
    return cmocka_run_group_tests_name("C2", tests, NULL, NULL);
}

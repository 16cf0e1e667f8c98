/* SPDX-License-Identifier: MIT
 *
 * C12: checks that the free list is correct and readable, that the library never trusts it, and
 * that an overwritten node is found and repaired by Mem_Check and by the Mem_Alloc that would use
 * its chunk.
 */
#include "contract.h"

#include <assert.h>

enum { NODE_BYTES = sizeof(struct __list_t) };

static int by_address(const void *left, const void *right)
{
    const struct object *l = left, *r = right;
    return l->start < r->start ? -1 : l->start > r->start;
}

/* Asserts that the list is the gaps between the objects of the table, and the free space behind
 * the last one, whose size is computed from the contract and not asked from the library. Every
 * gap is a chunk as long as the region has room for its record. */
static void assert_list_is_the_gaps(void)
{
    static struct object sorted[MAX_OBJECTS];
    memcpy(sorted, objects, (size_t)nobjects * sizeof(objects[0]));
    qsort(sorted, (size_t)nobjects, sizeof(sorted[0]), by_address);
    MemNodePtr node = m_free_list;
    unsigned char *top = region_base;
    int nchunks = nobjects;
    for (int i = 0; i < nobjects; i++) {
        if (sorted[i].start > top) {
            assert_ptr_equal(node, top);
            assert_int_equal(node->size, sorted[i].start - top);
            assert_true(node->type);
            node = node->next;
            nchunks++;
        }
        top = sorted[i].start + round_up_16(sorted[i].size);
    }
    long end = ((long)region_bytes - ROW_BYTES * (nchunks + 1)) / GRANULE_BYTES * GRANULE_BYTES;
    assert_ptr_equal(node, top);
    assert_int_equal(node->size, end - (top - region_base));
    assert_true(node->type);
    assert_null(node->next);
}

static void as_computed(void)
{
    unsigned seed = 14;
    open_heap(1 << 18);
    assert_list_is_the_gaps();
    for (int i = 0; i < 2000; i++) {
        if (nobjects > 0 && (nobjects > 200 || random_below(&seed, 2) == 0)) {
            give(objects[random_below(&seed, nobjects)].start);
        } else {
            int size = 1 + random_below(&seed, 600);
            enter_object(Mem_Alloc(size, random_below(&seed, 3)), size);
        }
        assert_list_is_the_gaps();
    }
    give_all(&seed);
    assert_list_is_the_gaps();
}

static void none_before_init(void)
{
    assert_null(m_free_list);
}

static void node_of_the_contract(void)
{
    static_assert(_Generic(&((MemNodePtr)0)->size, int * : 1, default : 0), "size is an int");
    static_assert(_Generic(&((MemNodePtr)0)->type, _Bool * : 1, default : 0), "type is a bool");
    assert_int_equal(offsetof(struct __list_t, size), 0);
    assert_true(offsetof(struct __list_t, type) < offsetof(struct __list_t, next));
}

static unsigned char *first_hole, *second_hole;

/* [32][ hole 96 ][32][ hole 200 ][32][ free end ] */
static void open_holes(void)
{
    open_heap(4096);
    get(32);
    first_hole = get(96);
    get(32);
    second_hole = get(200);
    get(32);
    give(first_hole);
    give(second_hole);
}

static void *alloc(int size, int style)
{
    return style < 0 ? Mem_Alloc(size) : Mem_Alloc(size, style);
}

/* Damages one byte of the node of `chunk`, which is the chunk that the allocation chooses. */
static void check_damage(unsigned char *chunk, int byte, int size, int style)
{
    char *before = picture();
    chunk[byte] = (unsigned char)(chunk[byte] ^ (1u << (byte % 8)));
    clear_errors();
    assert_null(alloc(size, style));
    assert_errors(E_CORRUPT_FREESPACE, EUCLEAN);
    assert_true(same_picture(before)); /* The call repaired the node and changed nothing else. */
    clear_errors();
    assert_ptr_equal(alloc(size, style), chunk);
    assert_errors(0, 0);
    assert_int_equal(Mem_Free(chunk), 0);
}

static void found_by_alloc(unsigned char *chunk, int size, int style)
{
    for (int byte = 0; byte < NODE_BYTES; byte++) {
        check_damage(chunk, byte, size, style);
    }
}

static void found_by_first_fit(void)
{
    open_holes();
    found_by_alloc(first_hole, 90, FIRSTFIT);
    found_by_alloc(first_hole, 16, FIRSTFIT);
    found_by_alloc(second_hole, 97, FIRSTFIT);
}

static void found_by_best_fit(void)
{
    open_holes();
    found_by_alloc(first_hole, 90, BESTFIT);
    found_by_alloc(second_hole, 200, BESTFIT);
}

static void found_by_worst_fit(void)
{
    open_holes();
    found_by_alloc(objects[0].start + 32 + 96 + 32 + 208 + 32, 16, WORSTFIT);
}

static void found_by_no_style(void)
{
    open_holes();
    found_by_alloc(first_hole, 90, -1);
    found_by_alloc(second_hole, 100, -1);
}

static void found_when_taken_whole(void)
{
    open_heap(4096);
    for (int byte = 0; byte < NODE_BYTES; byte++) {
        check_damage(region_base, byte, 4048, -1);
    }
}

static void found_by_check(void)
{
    open_holes();
    for (int byte = 0; byte < NODE_BYTES; byte++) {
        char *before = picture();
        first_hole[byte] = (unsigned char)~first_hole[byte];
        clear_errors();
        assert_int_equal(Mem_Check(), -1);
        assert_errors(E_CORRUPT_FREESPACE, EUCLEAN);
        assert_int_equal(Mem_Check(), 0);
        assert_true(same_picture(before));
    }
}

static void all_nodes_found_by_check(void)
{
    open_holes();
    char *before = picture();
    MemNodePtr next;
    for (MemNodePtr node = m_free_list; node != NULL; node = next) {
        next = node->next;
        memset(node, 0xee, sizeof(*node));
    }
    assert_int_equal(Mem_Check(), -1);
    assert_int_equal(Mem_Check(), 0);
    assert_true(same_picture(before));
}

/* Damages a chunk that an allocation of `size` bytes does not use. The allocation takes `taken`
 * whole, so that no node is left inside it. */
static void check_no_hindrance(unsigned char *damaged, unsigned char *taken, int size)
{
    char *before = picture();
    memset(damaged, 0xff, NODE_BYTES);
    clear_errors();
    assert_ptr_equal(Mem_Alloc(size, BESTFIT), taken);
    assert_errors(0, 0);
    assert_int_equal(Mem_Free(taken), 0);
    Mem_Check();
    assert_int_equal(Mem_Check(), 0);
    assert_true(same_picture(before));
}

static void damage_behind(void)
{
    open_holes();
    check_no_hindrance(second_hole, first_hole, 90);
}

static void damage_in_front(void)
{
    open_holes();
    check_no_hindrance(first_hole, second_hole, 200);
}

static void damage_in_the_end(void)
{
    open_holes();
    check_no_hindrance(region_base + 32 + 96 + 32 + 208 + 32, first_hole, 96);
}

/* Freeing objects between damaged chunks cannot fail and loses nothing. */
static void free_beside_damage(void)
{
    open_holes();
    memset(first_hole, 0xff, NODE_BYTES);
    memset(second_hole, 0x00, NODE_BYTES);
    unsigned seed = 15;
    give_all(&seed);
    Mem_Check();
    assert_int_equal(Mem_Check(), 0);
    assert_true(is_whole_again());
}

/* The node links to a made-up node, to itself, into a live object, to an unmapped address, and to
 * NULL. */
static void crafted_links(void)
{
    open_holes();
    struct __list_t fake = {1 << 20, true, NULL};
    void *targets[] = {&fake, first_hole, objects[0].start, (void *)(uintptr_t)0x10, NULL};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        char *before = picture();
        struct __list_t crafted = {1 << 20, true, targets[i]};
        memcpy(first_hole, &crafted, sizeof(crafted));
        assert_null(Mem_Alloc(1 << 19, FIRSTFIT)); /* The made-up size is large enough. */
        assert_int_equal(m_error, E_NO_SPACE);
        assert_int_equal(Mem_IsValid(first_hole), 0);
        /* The freed object joins the damaged chunk. */
        assert_int_equal(Mem_Free(objects[0].start), 0);
        Mem_Check();
        assert_int_equal(Mem_Check(), 0);
        assert_ptr_equal(Mem_Alloc(32, FIRSTFIT), objects[0].start);
        memset(objects[0].start, objects[0].fill, 32);
        assert_true(same_picture(before));
    }
}

/* The head lies outside the region and is not freed memory. The contract leaves open whether a
 * bad head is reported; it must never be followed, and one call must set it right. */
static void head_is_not_trusted(void)
{
    open_holes();
    char *before = picture();
    m_free_list = (MemNodePtr)(uintptr_t)0x10;
    clear_errors();
    void *p = Mem_Alloc(90, BESTFIT);
    assert_true(p != NULL || m_error == E_CORRUPT_FREESPACE);
    p = p != NULL ? p : Mem_Alloc(90, BESTFIT);
    assert_ptr_equal(p, first_hole);
    m_free_list = (MemNodePtr)(uintptr_t)0x10;
    assert_int_equal(Mem_Free(first_hole), 0);
    Mem_Check();
    assert_int_equal(Mem_Check(), 0);
    assert_true(same_picture(before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALONE("C12 before Mem_Init there is no list", none_before_init),
        ALONE("C12 the node is laid out as promised", node_of_the_contract),
        ALONE("C12 the list is the gaps between the objects", as_computed),
        ALONE("C12 first fit finds and repairs each damaged byte", found_by_first_fit),
        ALONE("C12 best fit finds and repairs each damaged byte", found_by_best_fit),
        ALONE("C12 worst fit finds and repairs each damaged byte", found_by_worst_fit),
        ALONE("C12 no style finds and repairs each damaged byte", found_by_no_style),
        ALONE("C12 damage is found when a chunk is taken whole", found_when_taken_whole),
        ALONE("C12 Mem_Check finds and repairs each damaged byte", found_by_check),
        ALONE("C12 Mem_Check repairs all nodes at once", all_nodes_found_by_check),
        ALONE("C12 damage in the next chunk does not hinder", damage_behind),
        ALONE("C12 damage in the chunk before does not hinder", damage_in_front),
        ALONE("C12 damage in the free end does not hinder", damage_in_the_end),
        ALONE("C12 free beside damage works", free_beside_damage),
        ALONE("C12 crafted links are not followed", crafted_links),
        ALONE("C12 the head of the list is not trusted", head_is_not_trusted),
    };
    return cmocka_run_group_tests_name("C12", tests, NULL, NULL);
}

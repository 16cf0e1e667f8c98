/* SPDX-License-Identifier: MIT
 *
 * freelist.c - checks FL1 and FL2 (src/ledger/freelist.h) on one page with five objects and a
 * tail: each pattern of holes, each damaged byte of each node, and each call that can follow.
 *
 * The model (model.h) says which nodes are right and which call would use the damaged chunk:
 *   - the allocation that would use the chunk reports the damage, repairs it, and changes
 *     nothing else;
 *   - every other call works as without damage; a node that it has to rewrite is whole
 *     afterwards, and a later call still finds the damage, once.
 *
 * Links test/support/model.c.
 */
#include "unit.h"

#include "snapshot.h"

enum { PLACES_MAX = PAGE / 16, NOBJECTS = 5, NODE_BYTES = sizeof(struct __list_t) };

static struct snapshot intact, after_call;

/* --- calls, on the heap and on the model ---------------------------------------- */

struct call {
    bool is_free;
    size_t argument; /* A position if is_free, else a size. */
    enum fit fit;
};

static ptrdiff_t model_call(const struct call *call)
{
    static const enum model_fit fits[] = {MODEL_BEST, MODEL_WORST, MODEL_FIRST};
    if (!call->is_free)
        return model_alloc(&model, call->argument, fits[call->fit]);
    return model_free(&model, call->argument) ? 0 : -1;
}

static enum heap_result heap_call(const struct call *call, ptrdiff_t *at)
{
    void *object = page;
    enum heap_result result = call->is_free ? heap_free(&heap, page + call->argument)
                                            : heap_take(&heap, call->argument, call->fit, &object);
    *at = (unsigned char *)object - page;
    return result;
}

static void must(bool is_free, size_t argument)
{
    ptrdiff_t at;
    const struct call call = {is_free, argument, FIT_FIRST};
    assert_true(model_call(&call) >= 0);
    assert_int_equal(heap_call(&call, &at), HEAP_OK);
}

/* Allocates five objects of different sizes and a guard, and frees those of the mask. A large
 * guard leaves little or no tail. */
static void open_heap(unsigned mask, size_t guard)
{
    static const size_t sizes[NOBJECTS] = {48, 16, 64, 32, 80};
    memset(page, 0, PAGE);
    model_open(&model, PAGE);
    heap_open_locked(&heap, (struct region){.base = page, .nbytes = PAGE}, &head);
    for (int i = 0; i < NOBJECTS; i++)
        must(false, sizes[i]);
    must(false, guard);
    for (size_t i = 0, start = 0; i < NOBJECTS; start += sizes[i++])
        if (mask & 1u << i)
            must(true, start);
    save(&intact);
}

/* --- nodes --------------------------------------------------------------------- */

struct place {
    size_t start, nbytes, next; /* next is a position, or 0 if there is none. */
};

static size_t right_nodes(struct place *p)
{
    size_t n = 0;
    struct model_chunk tail = model_tail(&model);
    for (size_t i = 0; i < model.n; i++)
        if (model.chunk[i].size == 0)
            p[n++] = (struct place){model.chunk[i].start, model.chunk[i].nbytes, 0};
    if (tail.nbytes > 0)
        p[n++] = (struct place){tail.start, tail.nbytes, 0};
    for (size_t i = 0; i + 1 < n; i++)
        p[i].next = p[i + 1].start;
    return n;
}

static bool is_among(const struct place *p, const struct place *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(p, &list[i], sizeof *p) == 0)
            return true;
    return false;
}

/* Checks FL1 except for the type, which FL2 allows to be false. */
static void assert_node(const struct place *p)
{
    struct __list_t node;
    memcpy(&node, page + p->start, sizeof node);
    assert_int_equal(node.size, p->nbytes);
    assert_ptr_equal(node.next, p->next > 0 ? page + p->next : NULL);
}

static void assert_head(void)
{
    struct place now[PLACES_MAX];
    size_t n = right_nodes(now);
    assert_ptr_equal(head, n > 0 ? page + now[0].start : NULL);
}

/* Checks FL1 for the whole list; no node is marked. */
static void assert_list(void)
{
    struct place now[PLACES_MAX];
    size_t n = right_nodes(now);
    MemNodePtr node = head;
    for (size_t i = 0; i < n; i++, node = node->next) {
        assert_ptr_equal(node, page + now[i].start);
        assert_node(&now[i]);
        assert_true(node->type);
    }
    assert_null(node);
}

/* --- FL2 ------------------------------------------------------------------------ */

static uint64_t ncalls, ntold, nmarked, njoined, nleft;

/* Returns the free chunk that contains the position, or NULL if there is none any longer. */
static const struct place *free_chunk_at(size_t position)
{
    static struct place now[PLACES_MAX];
    for (size_t n = right_nodes(now); n-- > 0;)
        if (position - now[n].start < now[n].nbytes)
            return &now[n];
    return NULL;
}

/* The best fit for the damaged chunk's whole length is that chunk, or one of the same length
 * before it. Those before it are not damaged and are taken without complaint. */
static void assert_found_by_taking(const struct place *damaged)
{
    void *object = NULL;
    while (heap_take(&heap, damaged->nbytes, FIT_BEST, &object) == HEAP_OK)
        assert_true(object < (void *)(page + damaged->start));
    assert_int_equal(heap_take(&heap, damaged->nbytes, FIT_BEST, &object), HEAP_OK);
    assert_ptr_equal(object, page + damaged->start);
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

/* A node whose content the call had to change is whole afterwards; other nodes were not touched. */
static void assert_rewritten_nodes(const struct place *before, size_t nbefore)
{
    struct place now[PLACES_MAX];
    for (size_t n = right_nodes(now); n-- > 0;)
        if (!is_among(&now[n], before, nbefore))
            assert_node(&now[n]);
    assert_head();
}

static void assert_told(const struct call *call)
{
    ptrdiff_t at, expected;
    assert_true(is_same(&intact)); /* The call repaired the node and changed nothing else. */
    restore(&intact);
    expected = model_call(call);
    assert_int_equal(heap_call(call, &at), HEAP_OK);
    assert_int_equal(at, expected);
    assert_list();
    ntold++;
}

static void assert_found_later(const struct place *damaged)
{
    const struct place *now = free_chunk_at(damaged->start);
    if (now == NULL) { /* The tail is gone, but the chunk before it bears its mark. */
        assert_int_equal(check_heap(&heap), HEAP_LIST_DAMAGED);
        assert_list();
        return;
    }
    save(&after_call);
    assert_int_equal(check_heap(&heap), HEAP_LIST_DAMAGED);
    assert_list();
    assert_int_equal(check_heap(&heap), HEAP_OK);
    restore(&after_call);
    assert_found_by_taking(now);
    restore(&after_call);
}

static void call_with_damage(const struct place *damaged, int byte, unsigned char xor,
                             const struct call *call)
{
    struct place before[PLACES_MAX];
    ptrdiff_t at, expected;
    restore(&intact);
    size_t nbefore = right_nodes(before);
    page[damaged->start + (size_t)byte] ^= xor;
    ncalls++;
    expected = model_call(call);
    enum heap_result result = heap_call(call, &at);
    if (!call->is_free && expected == (ptrdiff_t)damaged->start) {
        assert_int_equal(result, HEAP_LIST_DAMAGED);
        assert_told(call);
        return;
    }
    assert_int_equal(result, expected < 0 ? HEAP_NO_SPACE : HEAP_OK);
    if (!call->is_free && expected >= 0)
        assert_int_equal(at, expected);
    if (expected >= 0)
        assert_rewritten_nodes(before, nbefore);
    bool marked = !((MemNodePtr)(void *)(page + damaged->start))->type;
    nmarked += marked;
    nleft += !marked;
    njoined += call->is_free && model.n < intact.n;
    assert_found_later(damaged);
}

static void each_call(const struct place *damaged, int byte, unsigned char xor)
{
    static const size_t sizes[] = {1, 17, 48, 64, 96, 1000, 5000};
    for (size_t i = 0; i < intact.n; i++) {
        const struct call call = {true, intact.chunk[i].start, FIT_BEST};
        if (intact.chunk[i].size > 0)
            call_with_damage(damaged, byte, xor, &call);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int fit = FIT_BEST; fit <= FIT_FIRST; fit++) {
            const struct call call = {false, sizes[i], (enum fit)fit};
            call_with_damage(damaged, byte, xor, &call);
        }
}

/* These guards leave a long tail, a short one, one that the next record uses up, and none. */
static const size_t guards[] = {16, 3600, 3664, 3680};

static void each_heap(void (*look)(const struct place *damaged))
{
    struct place nodes[PLACES_MAX];
    for (size_t g = 0; g < sizeof guards / sizeof guards[0]; g++)
        for (unsigned mask = 0; mask < 1u << NOBJECTS; mask++) {
            open_heap(mask, guards[g]);
            assert_list();
            for (size_t n = right_nodes(nodes); n-- > 0;)
                look(&nodes[n]);
        }
}

static void damage_each_byte(const struct place *damaged)
{
    for (int byte = 0; byte < NODE_BYTES; byte++)
        each_call(damaged, byte, byte % 2 ? 0xFF : 0x01);
}

static void test_fl2_each_byte_of_each_node_before_each_call(void **state)
{
    (void)state;
    each_heap(damage_each_byte);
    print_message("# FL2: %lu calls; %lu told, %lu marked, %lu left, %lu joined\n",
                  (unsigned long)ncalls, (unsigned long)ntold, (unsigned long)nmarked,
                  (unsigned long)nleft, (unsigned long)njoined);
    assert_true(ntold > 1000 && nmarked > 1000 && nleft > 1000 && njoined > 1000);
}

/* A check reports each damaged bit once and repairs it. */
static void check_each_bit(const struct place *damaged)
{
    for (int bit = 0; bit < NODE_BYTES * 8; bit++) {
        restore(&intact);
        page[damaged->start + (size_t)bit / 8] ^= (unsigned char)(1u << bit % 8);
        assert_int_equal(check_heap(&heap), HEAP_LIST_DAMAGED);
        assert_true(is_same(&intact));
        assert_int_equal(check_heap(&heap), HEAP_OK);
    }
}

static void test_fl1_check_finds_each_bit(void **state)
{
    (void)state;
    each_heap(check_each_bit);
}

/* A free chunk behind its node may hold any bytes. */
static void scribble_behind(const struct place *free)
{
    restore(&intact);
    memset(page + free->start + NODE_BYTES, 0xEE, free->nbytes - NODE_BYTES);
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

static void test_fl1_only_the_node_counts(void **state)
{
    (void)state;
    each_heap(scribble_behind);
}

static void test_fl1_head_overwritten(void **state)
{
    (void)state;
    open_heap(5, 16);
    head = (MemNodePtr)(void *)page + 3;
    assert_int_equal(check_heap(&heap), HEAP_LIST_DAMAGED);
    assert_true(is_same(&intact));
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

/* --- the neighbours of a free, by hand -------------------------------------------- */

/* The objects are at 0, 48, 64, 128 and 160, and the guard is at 240. */
enum { A = 0, B = 48, C = 64, D = 128, E = 160, TAIL = 240 + 16 };

static MemNodePtr node_at(size_t position)
{
    return (MemNodePtr)(void *)(page + position);
}

static void scribble(size_t position)
{
    memset(page + position, 0x5A, NODE_BYTES);
}

static void assert_marked_then_found(size_t position, int size, size_t next)
{
    assert_int_equal(node_at(position)->size, size);
    assert_false(node_at(position)->type);
    assert_ptr_equal(node_at(position)->next, page + next);
    assert_int_equal(check_heap(&heap), HEAP_LIST_DAMAGED);
    assert_true(node_at(position)->type);
    assert_list();
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

static void test_fl2_left_neighbour_joined(void **state)
{
    (void)state;
    open_heap(1 << 1, 16);
    scribble(B);
    must(true, C);
    assert_marked_then_found(B, 16 + 64, TAIL);
}

static void test_fl2_right_neighbour_joined(void **state)
{
    (void)state;
    open_heap(1 << 3, 16);
    scribble(D);
    must(true, C);
    assert_marked_then_found(C, 64 + 32, TAIL);
}

static void test_fl2_both_neighbours_joined(void **state)
{
    (void)state;
    open_heap(1 << 1 | 1 << 3, 16);
    scribble(B);
    scribble(D);
    must(true, C);
    assert_marked_then_found(B, 16 + 64 + 32, TAIL);
}

static void test_fl2_chunk_before(void **state)
{
    (void)state;
    open_heap(1 << 0, 16);
    scribble(A);
    must(true, C);
    assert_int_equal(node_at(C)->type, true);
    assert_marked_then_found(A, 48, C);
}

static void test_fl2_joined_to_the_tail(void **state)
{
    (void)state;
    open_heap(1 << 4, 16);
    scribble(E);
    must(true, 240);
    assert_false(node_at(E)->type);
    assert_null(node_at(E)->next);
    assert_int_equal(check_heap(&heap), HEAP_LIST_DAMAGED);
    assert_list();
}

static void test_fl2_tail(void **state)
{
    (void)state;
    open_heap(1 << 0, 16);
    scribble(TAIL);
    /* The object comes from the hole, and the tail becomes shorter by one record. */
    must(false, 16);
    assert_false(node_at(TAIL)->type);
    assert_null(node_at(TAIL)->next);
    assert_int_equal(check_heap(&heap), HEAP_LIST_DAMAGED);
    assert_list();
}

/* Two chunks become one, so the tail grows by a record, though it lies elsewhere. */
static void test_fl2_tail_grows_far_away(void **state)
{
    (void)state;
    open_heap(1 << 0, 16);
    scribble(TAIL);
    must(true, B);
    assert_false(node_at(TAIL)->type);
    assert_true(node_at(A)->type);
    assert_int_equal(check_heap(&heap), HEAP_LIST_DAMAGED);
    assert_list();
}

static void test_fl2_no_mark_on_a_tail_that_was_right(void **state)
{
    (void)state;
    open_heap(1 << 0 | 1 << 2, 16);
    scribble(C);
    must(true, B);
    assert_false(node_at(A)->type);
    assert_true(node_at(TAIL)->type);
    assert_int_equal(check_heap(&heap), HEAP_LIST_DAMAGED);
    assert_list();
}

static void test_fl2_two_damaged_are_told_twice(void **state)
{
    (void)state;
    void *object;
    open_heap(1 << 0 | 1 << 2, 16);
    scribble(A);
    scribble(C);
    assert_int_equal(heap_take(&heap, 48, FIT_BEST, &object), HEAP_LIST_DAMAGED);
    assert_int_equal(heap_take(&heap, 64, FIT_BEST, &object), HEAP_LIST_DAMAGED);
    assert_int_equal(heap_take(&heap, 48, FIT_BEST, &object), HEAP_OK);
    assert_ptr_equal(object, page + A);
    assert_int_equal(heap_take(&heap, 64, FIT_BEST, &object), HEAP_OK);
    assert_ptr_equal(object, page + C);
    assert_int_equal(check_heap(&heap), HEAP_OK);
}

/* A heap has a free list if it is opened with a head; without one it never touches a byte of free
 * memory. */
static void test_without_a_head_nothing_is_written(void **state)
{
    (void)state;
    void *object, *other;
    memset(page, 0x5A, PAGE);
    heap_open_locked(&heap, (struct region){.base = page, .nbytes = PAGE}, NULL);
    assert_int_equal(heap_take(&heap, 100, FIT_FIRST, &object), HEAP_OK);
    assert_int_equal(heap_take(&heap, 100, FIT_FIRST, &other), HEAP_OK);
    assert_int_equal(heap_free(&heap, object), HEAP_OK);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    for (int i = 0; i < 3072; i++)
        assert_int_equal(page[i], 0x5A);
}

/* With stray writes and calls in any order nothing crashes and nothing is placed wrong, and in
 * the end all damage was reported and repaired. */
static void test_fl2_any_damage_any_history(void **state)
{
    (void)state;
    uint64_t dice = 88172645463325252u, told = 0;
    static const enum model_fit fits[] = {MODEL_BEST, MODEL_WORST, MODEL_FIRST};
    open_heap(0, 16);
    for (int i = 0; i < 200000; i++) {
        struct place nodes[PLACES_MAX];
        size_t n = right_nodes(nodes), position = rnd(&dice, PAGE), size = 1 + rnd(&dice, 200);
        unsigned fit = rnd(&dice, 3);
        void *object;
        if (n > 0 && rnd(&dice, 4) == 0)
            page[nodes[rnd(&dice, (uint32_t)n)].start + rnd(&dice, 16)] ^= 1;
        if (rnd(&dice, 2) == 0) {
            assert_int_equal(model_free(&model, position), heap_free(&heap, page + position) == 0);
            continue;
        }
        enum heap_result result = heap_take(&heap, size, (enum fit)fit, &object);
        told += result == HEAP_LIST_DAMAGED;
        /* The first call repaired the node, so a second call succeeds. */
        if (result == HEAP_LIST_DAMAGED)
            result = heap_take(&heap, size, (enum fit)fit, &object);
        ptrdiff_t expected = model_alloc(&model, size, fits[fit]);
        assert_int_equal(result, expected < 0 ? HEAP_NO_SPACE : HEAP_OK);
        if (expected >= 0)
            assert_ptr_equal(object, page + expected);
    }
    assert_true(told > 100);
    check_heap(&heap);
    assert_int_equal(check_heap(&heap), HEAP_OK);
    assert_list();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fl1_check_finds_each_bit),
        cmocka_unit_test(test_fl1_only_the_node_counts),
        cmocka_unit_test(test_fl1_head_overwritten),
        cmocka_unit_test(test_fl2_each_byte_of_each_node_before_each_call),
        cmocka_unit_test(test_fl2_left_neighbour_joined),
        cmocka_unit_test(test_fl2_right_neighbour_joined),
        cmocka_unit_test(test_fl2_both_neighbours_joined),
        cmocka_unit_test(test_fl2_chunk_before),
        cmocka_unit_test(test_fl2_joined_to_the_tail),
        cmocka_unit_test(test_fl2_tail),
        cmocka_unit_test(test_fl2_tail_grows_far_away),
        cmocka_unit_test(test_fl2_no_mark_on_a_tail_that_was_right),
        cmocka_unit_test(test_fl2_two_damaged_are_told_twice),
        cmocka_unit_test(test_without_a_head_nothing_is_written),
        cmocka_unit_test(test_fl2_any_damage_any_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

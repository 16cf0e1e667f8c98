/* SPDX-License-Identifier: MIT
 *
 * h07_find.c - H7: checks lookups of any address without knowing the heap: many heaps, heaps in
 * objects of others, heaps that go away, the classic heap, a signal at any moment, and a child
 * process.
 */
#include "unit.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mem.h"
#include "mem_heap.h"

enum { NHEAPS = 500, MIB = 1 << 20 };
static uint64_t dice = 11;
static _Alignas(4096) unsigned char all[8 * MIB + 4096], *const memory = all + 4096;
enum { MEMORY = sizeof all - 4096 };

#define assert_ok(call) assert_int_equal((call), MEM_OK)

static void assert_object(const void *address, const mem_heap *heap, const void *start, size_t size)
{
    struct mem_piece found = {0};
    assert_ok(mem_find(address, &found));
    assert_true(found.live);
    assert_ptr_equal(found.heap, heap);
    assert_ptr_equal(found.start, start);
    assert_int_equal(found.size, size);
}

/* --- one heap ----------------------------------------------------------------------- */

/* mem_find and mem_find_in must give the same answer for every address, with this heap. */
static void both_agree(unsigned char *from, size_t nbytes, mem_heap *heap, size_t step)
{
    for (size_t i = 0; i < nbytes; i += step) {
        struct mem_piece any = {0}, in = {0};
        enum mem_result result = mem_find(from + i, &any);
        assert_int_equal(mem_find_in(heap, from + i, &in), result);
        assert_true(any.start == in.start && any.size == in.size && any.live == in.live &&
                    any.heap == in.heap);
        if (result == MEM_OK)
            assert_ptr_equal(any.heap, heap);
    }
}

static void fill(mem_heap *heap, uint32_t size_max)
{
    char *held[64] = {0};
    for (int k = 0; k < 1000; k++) {
        uint32_t i = rnd(&dice, 64);
        if (held[i] != NULL)
            assert_ok(mem_free(heap, held[i]));
        size_t size = 1 + rnd(&dice, rnd(&dice, 10) ? size_max : 20 * size_max);
        held[i] = mem_alloc_fit(heap, size, 1, (enum mem_style)(rnd(&dice, 8) ? 0 : 1));
        if (held[i] != NULL) {
            assert_object(held[i], heap, held[i], size);
            assert_object(held[i] + size - 1, heap, held[i], size);
        }
    }
}

static void test_one_heap(void **state)
{
    (void)state;
    static const size_t sizes[] = {256, 4096, 64 << 10, (1 << 20) - 16, 3 * MIB, 8 * MIB};
    struct mem_piece found;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        mem_heap *heap = mem_heap_in(memory, sizes[i], NULL);
        fill(heap, sizes[i] < MIB ? 200 : 5000);
        both_agree(memory, sizes[i], heap, sizes[i] < MIB ? 1 : 13);
        assert_int_equal(mem_find(memory + sizes[i], &found), MEM_NOT_OURS);
        assert_int_equal(mem_find(memory - 1, &found), MEM_NOT_OURS);
        assert_int_equal(mem_find(NULL, &found), MEM_NOT_OURS);
        assert_int_equal(mem_find((void *)UINTPTR_MAX, &found), MEM_NOT_OURS);
        assert_int_equal(mem_find(&found, &found), MEM_NOT_OURS);
        assert_ok(mem_heap_destroy(heap));
        assert_int_equal(mem_find(memory + 300, &found), MEM_NOT_OURS);
    }
}

/* The states of a span lie nearly at the end of the region: a chunk takes everything except the
 * two highest slices, which hold the first small object and its states. Later spans lie below. */
static void test_states_at_the_end(void **state)
{
    (void)state;
    enum { SLICE = 64 << 10, LOW = 2 * MIB, REGION = 20 * MIB };
    static _Alignas(SLICE) unsigned char large[REGION + 2000];
    for (size_t more = 720; more <= 2000; more += 320) {
        mem_heap *heap = mem_heap_in(large, REGION + more, NULL);
        unsigned char *low = mem_alloc_fit(heap, LOW, 1, MEM_FIRST_FIT), *p;
        size_t rest = (size_t)(large + REGION - 2 * SLICE - SLICE / 2 - (low + LOW)), n = 0;
        assert_non_null(mem_alloc_fit(heap, rest, 1, MEM_FIRST_FIT));
        p = mem_alloc(heap, 16);
        assert_ok(mem_free(heap, low));
        for (; p != NULL && n < 2 * LOW / 16; n++, p = mem_alloc(heap, 16)) {
            assert_object(p, heap, p, 16);
            assert_object(p + 15, heap, p, 16);
        }
        assert_true(n > LOW / 16 / 2);
        assert_ok(mem_heap_destroy(heap));
    }
}

/* With thousands of chunks the ledger is a tree. */
static void test_a_tree(void **state)
{
    (void)state;
    static unsigned char *held[20000];
    mem_heap *heap = mem_heap_in(memory, MIB - 16, NULL);
    size_t n = 0;
    while (n < 20000 && (held[n] = mem_alloc(heap, 1 + rnd(&dice, 40))) != NULL)
        n++;
    for (size_t i = 0; i < n; i += 1 + rnd(&dice, 3))
        assert_ok(mem_free(heap, held[i]));
    both_agree(memory, MIB, heap, 5);
    assert_ok(mem_heap_destroy(heap));
}

/* --- many heaps ------------------------------------------------------------------- */

struct known {
    mem_heap *heap;
    unsigned char *object;
    size_t size;
};

static void open_known(struct known *k, unsigned char *buffer, size_t nbytes)
{
    k->heap = buffer ? mem_heap_in(buffer, nbytes, NULL) : mem_heap_create(nbytes, NULL);
    k->size = 1 + rnd(&dice, 100);
    assert_non_null(k->heap);
    k->object = mem_alloc(k->heap, k->size);
    assert_non_null(k->object);
}

static void assert_known(const struct known *k)
{
    assert_object(k->object + k->size - 1, k->heap, k->object, k->size);
}

static void test_many_heaps_come_and_go(void **state)
{
    (void)state;
    static struct known known[NHEAPS];
    size_t each = MEMORY / NHEAPS / 16 * 16;
    struct mem_piece found;
    for (int k = 0; k < 20 * NHEAPS; k++) {
        uint32_t i = rnd(&dice, NHEAPS);
        struct known *one = &known[i];
        if (one->heap == NULL) {
            open_known(one, i % 3 ? memory + i * each : NULL, i % 3 ? each : 4096);
        } else {
            assert_known(one);
            assert_ok(mem_heap_destroy(one->heap));
            assert_int_equal(mem_find(one->object, &found), MEM_NOT_OURS);
            one->heap = NULL;
        }
        one = &known[rnd(&dice, NHEAPS)];
        if (one->heap != NULL)
            assert_known(one);
    }
    for (int i = 0; i < NHEAPS; i++)
        if (known[i].heap != NULL)
            assert_ok(mem_heap_destroy(known[i].heap));
}

/* There are heaps in objects of a heap, and one heap in an object of one of these. The innermost
 * heap answers, and the surrounding heap answers for addresses between its inner heaps. */
static void test_heaps_in_heaps(void **state)
{
    (void)state;
    enum { NINNER = 40, INNER = 20000 };
    struct known outer, inner[NINNER], innermost;
    unsigned char *in[NINNER];
    open_known(&outer, memory, 4 * MIB);
    for (int i = 0; i < NINNER; i++) {
        in[i] = mem_alloc(outer.heap, INNER + 100);
        open_known(&inner[i], in[i], INNER);
    }
    open_known(&innermost, mem_alloc(inner[7].heap, 3000), 3000);
    for (int gone = 0; gone < NINNER; gone += 5) {
        assert_known(&outer);
        for (int i = 0; i < gone; i++)
            assert_object(in[i] + 3000, outer.heap, in[i], INNER + 100);
        for (int i = gone; i < NINNER; i++) {
            assert_known(&inner[i]);
            assert_object(in[i] + INNER + 50, outer.heap, in[i], INNER + 100);
        }
        if (gone <= 7)
            assert_known(&innermost);
        for (int i = gone; i < gone + 5; i++) {
            if (i == 7)
                assert_ok(mem_heap_destroy(innermost.heap));
            assert_ok(mem_heap_destroy(inner[i].heap));
        }
    }
    assert_ok(mem_heap_destroy(outer.heap));
}

/* A heap that was not destroyed, and whose memory was used for something else, disturbs no other
 * heap. */
static void test_forgotten_heaps(void **state)
{
    (void)state;
    struct known one, two, three;
    open_known(&one, memory + 8192, 4096);
    open_known(&two, memory + 10240, 8192); /* It overlaps the end of the first. */
    assert_known(&two);
    open_known(&three, memory, 64 << 10); /* It covers all of the second. */
    assert_known(&three);
    unsigned char *p = mem_alloc(three.heap, 30000);
    memset(p, 0, 30000);
    for (size_t i = 0; i < 30000; i += 100)
        assert_object(p + i, three.heap, p, 30000);
    open_known(&one, p + 16, 4096);
    memset(p, 1, 30000); /* This overwrites a heap that lies in the object and was not destroyed. */
    assert_object(p + 500, three.heap, p, 30000);
    assert_ok(mem_heap_destroy(three.heap));
}

static void test_the_classic_heap(void **state)
{
    (void)state;
    struct mem_piece found;
    assert_int_equal(Mem_Init(4 * MIB), 0);
    char *small = Mem_Alloc(100), *large = Mem_Alloc(300000, WORSTFIT);
    assert_object(small + 99, NULL, small, 100);
    assert_object(large + 299999, NULL, large, 300000);
    assert_int_equal(Mem_Free(small), 0);
    assert_true(mem_find(small, &found) != MEM_OK || !found.live);
    assert_int_equal(Mem_Free(large), 0);
    assert_ok(mem_find(large + 5, &found));
    assert_false(found.live);
}

/* --- at any moment ------------------------------------------------------------------ */

static struct known stable[2];
static mem_heap *busy;
static volatile sig_atomic_t nasked, nbusy, nwrong;

/* One signal: the next comes a while after the handler of this one, so that the program goes on
 * between them, however slow the handler is. */
static void ask_soon(void)
{
    const struct itimerval soon = {{0, 0}, {0, 97}};
    setitimer(ITIMER_REAL, &soon, NULL);
}

static void ask(int signal)
{
    (void)signal;
    static uint64_t signal_dice = 5;
    for (int i = 0; i < 4; i++) {
        const struct known *k = &stable[i % 2];
        struct mem_piece found;
        enum mem_result result = mem_find(k->object + rnd(&signal_dice, (uint32_t)k->size), &found);
        nasked = nasked + 1;
        nbusy = nbusy + (result == MEM_BUSY);
        nwrong = nwrong + (result != MEM_BUSY &&
                           (result != MEM_OK || found.start != k->object || !found.live));
        mem_find(memory + rnd(&signal_dice, MEMORY), &found);
    }
    ask_soon();
}

/* The handler interrupts calls that hold the lock and are in the middle of a change. How often it
 * does so depends on the system. */
static void test_a_signal_at_any_moment(void **state)
{
    (void)state;
    enum { ENOUGH = 2000, ENOUGH_TOLD = 500, NHELD = 200 };
    static void *held[2][NHELD];
    const struct itimerval never = {{0, 0}, {0, 0}};
    open_known(&stable[0], memory, 64 << 10);
    open_known(&stable[1], memory + 4 * MIB, 4 * MIB);
    signal(SIGALRM, ask);
    ask_soon();
    for (long k = 0; (nasked < ENOUGH || nasked - nbusy < ENOUGH_TOLD) && k < 50000000; k++) {
        int which = (int)rnd(&dice, 2);
        void **p = &held[which][rnd(&dice, NHELD)];
        mem_free(stable[which].heap, *p);
        *p = mem_alloc(stable[which].heap, 1 + rnd(&dice, which ? 30000 : 300));
        if (k % 64 == 0) {
            busy = mem_heap_create(4096, NULL);
            mem_heap_destroy(busy);
        }
    }
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_IGN); /* what its last handler has started */
    assert_int_equal(nwrong, 0);
    assert_true(nasked >= ENOUGH && nasked - nbusy >= ENOUGH_TOLD);
#ifdef __x86_64__
    assert_true(nbusy < nasked / 2);
#endif
    assert_ok(mem_heap_destroy(stable[0].heap));
    assert_ok(mem_heap_destroy(stable[1].heap));
}

static void test_a_child_of_fork(void **state)
{
    (void)state;
    struct known one;
    int status;
    open_known(&one, NULL, 4 * MIB);
    assert_known(&one);
    pid_t child = fork();
    if (child == 0) {
        struct mem_piece found;
        bool good = mem_find(one.object, &found) == MEM_OK && found.heap == one.heap;
        good = good && mem_heap_destroy(one.heap) == MEM_OK;
        _exit(good && mem_find(one.object, &found) == MEM_NOT_OURS ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_known(&one);
    assert_ok(mem_heap_destroy(one.heap));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_heap),         cmocka_unit_test(test_states_at_the_end),
        cmocka_unit_test(test_a_tree),           cmocka_unit_test(test_many_heaps_come_and_go),
        cmocka_unit_test(test_heaps_in_heaps),   cmocka_unit_test(test_forgotten_heaps),
        cmocka_unit_test(test_the_classic_heap), cmocka_unit_test(test_a_signal_at_any_moment),
        cmocka_unit_test(test_a_child_of_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * h07_find_threads.c - H7: checks lookups of any address while threads use the heaps and make and
 * destroy others. It runs under ThreadSanitizer, too.
 *
 *     h07_find_threads [N [SEED]]     looks up N addresses, 200,000 by default
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem_heap.h"

enum { NUSERS = 4, NASKERS = 2, NKINDS = 3, NSTABLE = 200, NHELD = 60, MIB = 1 << 20 };

static unsigned long nwanted = 200000, seed = 1;
static bool done;

/* The first heap has slots and large objects. The second is small, so that its ledger changes
 * with each call. The third has no lock, and one thread uses it. */
static struct kind {
    mem_heap *heap;
    unsigned char *base;
    size_t nbytes;
    uint32_t size_max;
    unsigned char *object[NSTABLE];
    size_t size[NSTABLE];
} kinds[NKINDS] = {
    {.nbytes = 32 * MIB, .size_max = 40000},
    {.nbytes = 256 << 10, .size_max = 600},
    {.nbytes = 4 * MIB, .size_max = 3000},
};

struct thread {
    pthread_t thread;
    uint64_t dice;
    int number;
    unsigned long nasked, nwrong, nbusy, nlive;
};

static void open_kind(struct kind *k, unsigned flags)
{
    uint64_t dice = 3;
    struct mem_options options = {.flags = flags};
    k->heap = mem_heap_create(k->nbytes, &options);
    assert_non_null(k->heap);
    k->base = (unsigned char *)k->heap;
    for (int i = 0; i < NSTABLE; i++) {
        k->size[i] = 1 + rnd(&dice, i % 8 ? k->size_max / 8 : k->size_max);
        k->object[i] = mem_alloc(k->heap, k->size[i]);
        assert_non_null(k->object[i]);
    }
}

static bool is_done(void)
{
    return __atomic_load_n(&done, __ATOMIC_RELAXED);
}

static void *use(void *argument)
{
    struct thread *t = argument;
    struct kind *k = &kinds[t->number == 0 ? 2 : t->number % 2];
    void *held[NHELD] = {0};
    while (!is_done()) {
        void **p = &held[rnd(&t->dice, NHELD)];
        t->nwrong += mem_free(k->heap, *p) != MEM_OK;
        *p = mem_alloc(k->heap, 1 + rnd(&t->dice, rnd(&t->dice, 4) ? 300 : k->size_max));
        if (*p != NULL && rnd(&t->dice, 8) == 0) {
            void *now = mem_resize(k->heap, *p, 1 + rnd(&t->dice, k->size_max));
            *p = now != NULL ? now : *p;
        }
        t->nasked++;
    }
    return NULL;
}

/* Makes and destroys heaps, so that their mappings go away while another thread looks up an
 * address in them. */
static unsigned char *fleeting;

static void *come_and_go(void *argument)
{
    struct thread *t = argument;
    while (!is_done()) {
        mem_heap *heap = mem_heap_create(rnd(&t->dice, 2) ? 2 * MIB : 8192, NULL);
        __atomic_store_n(&fleeting, mem_alloc(heap, 100), __ATOMIC_RELAXED);
        t->nwrong += mem_heap_destroy(heap) != MEM_OK;
        t->nasked++;
    }
    return NULL;
}

static void ask_for_stable(struct thread *t)
{
    struct kind *k = &kinds[rnd(&t->dice, NKINDS)];
    uint32_t i = rnd(&t->dice, NSTABLE);
    struct mem_piece found = {0};
    enum mem_result result = mem_find(k->object[i] + rnd(&t->dice, (uint32_t)k->size[i]), &found);
    if (result == MEM_BUSY)
        t->nbusy++;
    else
        t->nwrong += result != MEM_OK || !found.live || found.start != k->object[i] ||
                     found.size != k->size[i] || found.heap != k->heap;
}

static void ask_anywhere(struct thread *t, unsigned char *p)
{
    struct mem_piece found;
    enum mem_result result = mem_find(p, &found);
    t->nwrong += result == MEM_DAMAGED;
    if (result != MEM_OK)
        return;
    t->nlive += found.live;
    t->nwrong += p < (unsigned char *)found.start ||
                 (p >= (unsigned char *)found.start + found.size && p != found.start);
}

static void *ask(void *argument)
{
    struct thread *t = argument;
    while (t->nasked < nwanted / NASKERS) {
        ask_for_stable(t);
        struct kind *k = &kinds[rnd(&t->dice, NKINDS)];
        ask_anywhere(t, k->base + rnd(&t->dice, (uint32_t)k->nbytes));
        if (t->nasked % 16 == 0)
            ask_anywhere(t, __atomic_load_n(&fleeting, __ATOMIC_RELAXED));
        t->nasked += 2;
    }
    return NULL;
}

static void start(struct thread *t, int number, void *(*run)(void *))
{
    *t = (struct thread){.dice = seed * 1000 + (uint64_t)number, .number = number};
    assert_int_equal(pthread_create(&t->thread, NULL, run, t), 0);
}

static void test_while_threads_allocate(void **state)
{
    (void)state;
    struct thread user[NUSERS], asker[NASKERS], maker;
    unsigned long nused = 0, nbusy = 0, nlive = 0;
    for (int i = 0; i < NKINDS; i++)
        open_kind(&kinds[i], i == 2 ? MEM_SINGLE_THREADED : 0);
    for (int i = 0; i < NUSERS; i++)
        start(&user[i], i, use);
    start(&maker, 50, come_and_go);
    for (int i = 0; i < NASKERS; i++)
        start(&asker[i], 100 + i, ask);
    for (int i = 0; i < NASKERS; i++) {
        assert_int_equal(pthread_join(asker[i].thread, NULL), 0);
        assert_int_equal(asker[i].nwrong, 0);
        nbusy += asker[i].nbusy;
        nlive += asker[i].nlive;
    }
    __atomic_store_n(&done, true, __ATOMIC_RELAXED);
    for (int i = 0; i < NUSERS; i++) {
        assert_int_equal(pthread_join(user[i].thread, NULL), 0);
        assert_int_equal(user[i].nwrong, 0);
        nused += user[i].nasked;
    }
    assert_int_equal(pthread_join(maker.thread, NULL), 0);
    assert_int_equal(maker.nwrong, 0);
    print_message("%lu addresses, %lu times busy; %lu allocations, %lu heaps meanwhile; seed %lu\n",
                  nwanted, nbusy, nused, maker.nasked, seed);
    assert_true(nused > 1000 && maker.nasked > 10 && nlive > 0);
    assert_true(nbusy <= nwanted / 1000);
}

/* There are more threads than words for readers, in succession and at the same time. */
static pthread_barrier_t all_there;

static void *find_own(void *heap)
{
    struct mem_piece found;
    char *p = mem_alloc(heap, 50);
    size_t nwrong = 0;
    for (int i = 0; i < 3000; i++) {
        nwrong += mem_find(p + i % 50, &found) != MEM_OK || found.start != p;
        if (i == 1000)
            pthread_barrier_wait(&all_there);
    }
    return nwrong == 0 ? NULL : heap;
}

static void test_many_threads(void **state)
{
    (void)state;
    enum { NTHREADS = 60, NTIMES = 3 };
    pthread_t thread[NTHREADS];
    void *wrong;
    for (int k = 0; k < NTIMES; k++) {
        mem_heap *heap = mem_heap_create(2 * MIB, NULL);
        assert_int_equal(pthread_barrier_init(&all_there, NULL, NTHREADS), 0);
        for (int i = 0; i < NTHREADS; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, find_own, heap), 0);
        for (int i = 0; i < NTHREADS; i++) {
            assert_int_equal(pthread_join(thread[i], &wrong), 0);
            assert_null(wrong);
        }
        assert_int_equal(mem_heap_destroy(heap), MEM_OK);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_while_threads_allocate),
        cmocka_unit_test(test_many_threads),
    };
    if (argc > 1)
        nwanted = strtoul(argv[1], NULL, 10);
    if (argc > 2)
        seed = strtoul(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

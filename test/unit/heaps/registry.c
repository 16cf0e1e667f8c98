/* SPDX-License-Identifier: MIT
 *
 * registry.c - checks RG1 to RG3 (src/heaps/registry.h): random ranges, nested in each other and
 * apart, that come and go, against a list that is searched from one end to the other.
 *
 * The heaps are ranges of addresses only: nothing is read or written there.
 */
#include "unit.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "heaps/readers.h"
#include "heaps/registry.h"
#include "mem_heap.h"

enum { NRANGES = 200, SPACE = 4096, NSTEPS = 20000, BASE = 1 << 20 };

static struct heap_range model[NRANGES];
static unsigned nmodel;
static uint64_t dice = 88172645463325252;

static uintptr_t end_of(const struct heap_range *p)
{
    return p->base + p->nbytes;
}

/* A heap begins with its header and ends with its records: one in an object of it does neither. */
static bool is_around(const struct heap_range *outer, const struct heap_range *inner)
{
    return outer->base < inner->base && end_of(inner) < end_of(outer);
}

static bool meets(const struct heap_range *a, const struct heap_range *b)
{
    return a->base < end_of(b) && b->base < end_of(a);
}

/* A new range takes the place of each that it meets, except those that it lies in. */
static bool is_replaced(const struct heap_range *old, const struct heap_range *p)
{
    return meets(old, p) && !is_around(old, p);
}

static void model_add(const struct heap_range *p)
{
    struct heap_range kept[NRANGES];
    unsigned n = 0;
    for (unsigned i = 0; i < nmodel; i++)
        if (!is_replaced(&model[i], p))
            kept[n++] = model[i];
    kept[n++] = *p;
    memcpy(model, kept, n * sizeof kept[0]);
    nmodel = n;
}

static void model_remove(unsigned i)
{
    memmove(&model[i], &model[i + 1], (nmodel - i - 1) * sizeof model[0]);
    nmodel--;
}

/* Returns the smallest range that the address is in and that is larger than `limit`, or NULL. */
static const struct heap_range *model_find(uintptr_t address, size_t limit)
{
    const struct heap_range *found = NULL;
    for (unsigned i = 0; i < nmodel; i++)
        if (address - model[i].base < model[i].nbytes && model[i].nbytes > limit &&
            (found == NULL || model[i].nbytes < found->nbytes))
            found = &model[i];
    return found;
}

static bool is_valid(void)
{
    registry_lock();
    bool valid = registry_is_valid_locked();
    registry_unlock();
    return valid;
}

static void add_one(void)
{
    uint32_t nbytes = 1 + rnd(&dice, rnd(&dice, 32) == 0 ? SPACE / 2 : 40);
    uintptr_t base = BASE + rnd(&dice, SPACE - nbytes);
    struct heap_range p = {.base = base, .nbytes = nbytes, .owner = (void *)base};
    assert_true(registry_add(&p));
    model_add(&p);
}

static void remove_one(void)
{
    unsigned i = rnd(&dice, nmodel);
    assert_true(registry_has((void *)model[i].base));
    assert_true(registry_remove((void *)model[i].base));
    assert_false(registry_has((void *)model[i].base));
    model_remove(i);
}

/* Finds the range around the address, and from there all that are around it. */
static void check_address(uintptr_t address)
{
    struct heap_range p, outer;
    struct lookup_scope scope = lookup_begin();
    enum registry_result result = registry_find(address, &p);
    const struct heap_range *expected = model_find(address, 0);
    while (expected != NULL) {
        assert_int_equal(result, REGISTRY_FOUND);
        assert_int_equal(p.base, expected->base);
        assert_int_equal(p.nbytes, expected->nbytes);
        assert_ptr_equal(p.owner, expected->owner);
        expected = model_find(address, p.nbytes);
        result = registry_find_around(&p, &outer);
        p = outer;
    }
    assert_int_equal(result, REGISTRY_NONE);
    lookup_end(&scope);
}

static void remove_all(void)
{
    while (nmodel > 0)
        remove_one();
    check_address(BASE + SPACE / 2);
}

/* Ranges come and go at random; every address is looked up now and then. */
static void test_against_list(void **state)
{
    unsigned most = 0;
    (void)state;
    for (int step = 0; step < NSTEPS; step++) {
        if (nmodel == 0 || (nmodel < NRANGES - 1 && rnd(&dice, 3) > 0))
            add_one();
        else
            remove_one();
        most = nmodel > most ? nmodel : most;
        check_address(BASE + rnd(&dice, SPACE));
        if (step % 100 == 0)
            assert_true(is_valid());
        for (uintptr_t a = BASE - 1; step % 1000 == 0 && a <= BASE + SPACE; a++)
            check_address(a);
    }
    assert_true(most > 24); /* more than the first table holds */
    remove_all();
}

/* Many ranges in a row, and one around all of them, which may only be added before them. */
static void test_nested(void **state)
{
    struct heap_range all = {.base = BASE, .nbytes = SPACE, .owner = (void *)BASE}, p;
    (void)state;
    assert_true(registry_add(&all));
    model_add(&all);
    for (uintptr_t a = BASE + 1; a + 8 < BASE + SPACE && nmodel < NRANGES; a += 16) {
        p = (struct heap_range){.base = a, .nbytes = 8, .owner = (void *)a};
        assert_true(registry_add(&p));
        model_add(&p);
    }
    assert_true(is_valid());
    for (uintptr_t a = BASE; a < BASE + SPACE; a++)
        check_address(a);
    assert_true(registry_add(&all)); /* that memory is the new heap's: no other is left */
    model_add(&all);
    assert_int_equal(nmodel, 1);
    for (uintptr_t a = BASE; a < BASE + SPACE; a++)
        check_address(a);
    remove_all();
}

/* A new heap takes the end of an old one. A heap in an object of the old one, which lies before the
 * new one, is still found, and one that the new heap cuts is not. */
static void test_heap_in_one_that_left(void **state)
{
    static const struct heap_range ranges[] = {
        {.base = BASE, .nbytes = 100, .owner = &model[0]},
        {.base = BASE + 10, .nbytes = 40, .owner = &model[1]},
        {.base = BASE + 20, .nbytes = 10, .owner = &model[2]},
        {.base = BASE + 60, .nbytes = 30, .owner = &model[3]},
        {.base = BASE + 80, .nbytes = 100, .owner = &model[4]},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        assert_true(registry_add(&ranges[i]));
        model_add(&ranges[i]);
    }
    assert_int_equal(nmodel, 3);
    assert_true(is_valid());
    for (uintptr_t a = BASE; a < BASE + 200; a++)
        check_address(a);
    assert_false(registry_has((void *)ranges[0].base));
    remove_all();
}

/* A version is told only while no heap lies in another one; it changes with the table. */
static void test_version(void **state)
{
    struct heap_range outer = {.base = BASE, .nbytes = 100, .owner = (void *)BASE},
                      inner = {.base = BASE + 10, .nbytes = 10, .owner = (void *)BASE}, p;
    (void)state;
    assert_true(registry_add(&outer));
    assert_int_equal(registry_find(BASE, &p), REGISTRY_FOUND);
    uint32_t version = p.version;
    assert_true(version != 0 && version % 4 == 0);
    assert_true(registry_add(&inner));
    assert_int_equal(registry_find(BASE, &p), REGISTRY_FOUND);
    assert_int_equal(p.version, 0);
    assert_true(registry_remove((void *)inner.base));
    assert_int_equal(registry_find(BASE, &p), REGISTRY_FOUND);
    assert_true(p.version != 0 && p.version != version);
    assert_true(registry_remove((void *)outer.base));
}

/* What a thread keeps from its last lookup is good until the table changes. */
static void test_view_of_last_lookup(void **state)
{
    struct heap_range range = {.base = BASE, .nbytes = 100, .owner = (void *)BASE}, p;
    struct lookup_view view = {.owner = range.owner};
    uint32_t was;
    (void)state;
    assert_true(registry_add(&range));
    struct lookup_scope scope = lookup_begin();
    assert_int_equal(registry_find(BASE, &p), REGISTRY_FOUND);
    lookup_note(&scope, &view, p.version);
    lookup_end(&scope);
    if (reader_mine == &reader_none) /* no barrier here: then no view is kept */
        skip();
    assert_true(lookup_begin_fast(reader_mine, &was));
    assert_ptr_equal(reader_mine->last.owner, range.owner);
    struct lookup_scope inner = lookup_begin(); /* as in a signal handler */
    lookup_note(&inner, &(struct lookup_view){0}, p.version);
    lookup_end(&inner);
    assert_true(reader_mine->word & READER_BUSY);
    assert_ptr_equal(reader_mine->last.owner, range.owner);
    lookup_end_fast(reader_mine, was);
    scope = lookup_begin(); /* and within a lookup that is not fast */
    inner = lookup_begin();
    lookup_note(&inner, &(struct lookup_view){0}, p.version);
    lookup_end(&inner);
    assert_ptr_equal(reader_mine->last.owner, range.owner);
    lookup_end(&scope);
    assert_true(registry_remove((void *)range.base));
    assert_false(lookup_begin_fast(reader_mine, &was));
}

/* --- the checker can fail ------------------------------------------------------------ */

static struct heap_range *entries[4];
static unsigned nentries;

/* The table is the registry's own: only a test writes to it. */
static bool keep_entry(struct heap_range *p)
{
    entries[nentries++] = p;
    return nentries < 4;
}

#define SEEN(field, value)                                                                         \
    do {                                                                                           \
        __typeof__(field) was = (field);                                                           \
        (field) = (value);                                                                         \
        assert_true((field) != was);                                                               \
        assert_false(registry_is_valid_locked());                                                  \
        (field) = was;                                                                             \
        assert_true(registry_is_valid_locked());                                                   \
    } while (0)

/* [0   [1  [2]  ]   ] [3]: each wrong number of these is seen. */
static void test_checker_sees_damage(void **state)
{
    static const struct heap_range ranges[] = {{.base = BASE, .nbytes = 100},
                                               {.base = BASE + 10, .nbytes = 60},
                                               {.base = BASE + 20, .nbytes = 20},
                                               {.base = BASE + 200, .nbytes = 10}};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct heap_range p = ranges[i];
        p.owner = (void *)p.base;
        assert_true(registry_add(&p));
        model_add(&p);
    }
    registry_lock();
    nentries = 0;
    assert_false(registry_all_locked(keep_entry)); /* the visitor has ended it */
    assert_int_equal(nentries, 4);
    assert_true(registry_is_valid_locked());
    SEEN(entries[1]->up, 0);
    SEEN(entries[2]->up, 0);
    SEEN(entries[2]->up, 2); /* the one in between is around it, too */
    SEEN(entries[2]->up, 3);
    SEEN(entries[3]->up, 1);
    SEEN(entries[3]->up, UINT32_MAX);
    SEEN(entries[0]->up, 1);
    SEEN(entries[1]->base, entries[0]->base);
    SEEN(entries[1]->base, entries[0]->base - 1);
    SEEN(entries[1]->nbytes, 200); /* it ends behind the one around it */
    SEEN(entries[0]->nbytes, 250); /* and so the last one would be in it */
    struct table *t = (void *)((unsigned char *)entries[0] - offsetof(struct table, range));
    SEEN(t->capacity, t->n - 1);
    entries[0]->nbytes = 5; /* none is in the first one now, and so one less is nested */
    entries[1]->up = 0;
    assert_false(registry_is_valid_locked());
    entries[1]->up = 1;
    entries[0]->nbytes = ranges[0].nbytes;
    assert_true(registry_is_valid_locked());
    registry_unlock();
    remove_all();
}

/* The range that is around another one may have gone meanwhile. */
static void test_around_one_that_left(void **state)
{
    struct heap_range outer = {.base = BASE, .nbytes = 100, .owner = (void *)BASE},
                      inner = {.base = BASE + 10, .nbytes = 10, .owner = (void *)BASE}, p, around;
    (void)state;
    assert_true(registry_add(&outer) && registry_add(&inner));
    struct lookup_scope scope = lookup_begin();
    assert_int_equal(registry_find(BASE + 15, &p), REGISTRY_FOUND);
    assert_int_equal(p.up, 1);
    lookup_end(&scope);
    assert_true(registry_remove((void *)BASE));
    scope = lookup_begin();
    assert_int_equal(registry_find_around(&p, &around), REGISTRY_NONE);
    struct heap_range other = {.base = BASE - 50, .nbytes = 20, .owner = (void *)BASE};
    lookup_end(&scope);
    assert_true(registry_add(&other)); /* in its place is one that is around nothing */
    scope = lookup_begin();
    assert_int_equal(registry_find_around(&p, &around), REGISTRY_NONE);
    lookup_end(&scope);
    assert_true(registry_remove((void *)inner.base) && registry_remove((void *)other.base));
    scope = lookup_begin();
    assert_int_equal(registry_find_around(&p, &around), REGISTRY_NONE); /* the table is empty */
    lookup_end(&scope);
    assert_false(registry_has((void *)BASE));
    assert_true(registry_remove((void *)BASE)); /* which is not there any longer */
}

/* RG1: while the table changes a lookup finds nothing, but ends. */
static void test_busy(void **state)
{
    struct heap_range range = {.base = BASE, .nbytes = 100, .owner = (void *)BASE}, p, around;
    (void)state;
    assert_true(registry_add(&range));
    for (int within = 0; within < 2; within++) {
        struct lookup_scope scope = lookup_begin();
        assert_int_equal(registry_find(BASE, &p), REGISTRY_FOUND);
        if (within) /* as a signal handler that has interrupted a change */
            mutator_enter();
        registry_version++;
        assert_int_equal(registry_find(BASE, &around), REGISTRY_BUSY);
        assert_int_equal(registry_find_around(&p, &around), REGISTRY_BUSY);
        struct mem_piece piece;
        assert_int_equal(mem_find((void *)BASE, &piece), MEM_BUSY);
        registry_version--;
        assert_int_equal(registry_find(BASE, &around), REGISTRY_FOUND);
        if (within)
            mutator_leave();
        lookup_end(&scope);
    }
    assert_true(registry_remove((void *)BASE));
}

/* The version 0 stands for none, and is left out when the count wraps. */
static void test_version_wraps(void **state)
{
    struct heap_range range = {.base = BASE, .nbytes = 100, .owner = (void *)BASE}, p;
    uint32_t was = registry_version;
    (void)state;
    registry_version = UINT32_MAX - 3;
    assert_true(registry_add(&range));
    assert_true(registry_version != 0 && registry_version % 4 == 0);
    struct lookup_scope scope = lookup_begin();
    assert_int_equal(registry_find(BASE, &p), REGISTRY_FOUND);
    assert_int_equal(p.version, registry_version);
    lookup_end(&scope);
    assert_true(registry_remove((void *)BASE));
    registry_version = was + 4;
}

/* --- readers of other threads ---------------------------------------------------------- */

enum { NTHREADS = 40 }; /* more than there are readers: the others are counted */

static _Atomic bool may_leave, was_gone;
static _Atomic int nwithin;

static void *look_up_until_told(void *with_end)
{
    struct lookup_scope scope = lookup_begin();
    nwithin++;
    while (with_end != NULL && !may_leave)
        usleep(1000);
    if (with_end == NULL)
        pthread_exit(NULL); /* as a signal handler may do */
    nwithin--;
    lookup_end(&scope);
    return NULL;
}

static void *wait_for_readers(void *nothing)
{
    (void)nothing;
    bool gone = registry_wait_for_readers();
    was_gone = gone && nwithin == 0;
    return NULL;
}

static void expect_a_wait(int nthreads)
{
    pthread_t thread[NTHREADS], writer;
    may_leave = was_gone = false;
    for (int i = 0; i < nthreads; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, look_up_until_told, thread), 0);
    while (nwithin < nthreads)
        usleep(1000);
    assert_int_equal(pthread_create(&writer, NULL, wait_for_readers, NULL), 0);
    usleep(50000);
    may_leave = true;
    pthread_join(writer, NULL);
    assert_true(was_gone);
    for (int i = 0; i < nthreads; i++)
        pthread_join(thread[i], NULL);
}

static _Atomic bool may_go;
static _Atomic int nholding;

static void *hold_a_reader(void *nothing)
{
    struct lookup_scope scope = lookup_begin();
    lookup_end(&scope);
    nholding++;
    while (!may_go)
        usleep(1000);
    return nothing;
}

/* RG2: a writer waits until each lookup has ended: of threads with a reader, of those that got the
 * reader of a thread that is gone, and of those that are counted, since no reader is left. */
static void test_a_writer_waits(void **state)
{
    pthread_t holder[NTHREADS];
    (void)state;
    expect_a_wait(3);
    expect_a_wait(NTHREADS);
    expect_a_wait(3);
    for (int i = 0; i < NTHREADS; i++)
        assert_int_equal(pthread_create(&holder[i], NULL, hold_a_reader, NULL), 0);
    while (nholding < NTHREADS)
        usleep(1000);
    expect_a_wait(1);
    may_go = true;
    for (int i = 0; i < NTHREADS; i++)
        pthread_join(holder[i], NULL);
}

/* A thread that ends within a lookup is not waited for. */
static void test_a_reader_that_is_gone(void **state)
{
    pthread_t thread;
    (void)state;
    if (reader_mine == &reader_none) /* no barrier here: then its lookup would be counted */
        skip();
    assert_int_equal(pthread_create(&thread, NULL, look_up_until_told, NULL), 0);
    pthread_join(thread, NULL);
    assert_true(registry_wait_for_readers());
    nwithin = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_list),          cmocka_unit_test(test_nested),
        cmocka_unit_test(test_heap_in_one_that_left), cmocka_unit_test(test_version),
        cmocka_unit_test(test_view_of_last_lookup),   cmocka_unit_test(test_checker_sees_damage),
        cmocka_unit_test(test_around_one_that_left),  cmocka_unit_test(test_busy),
        cmocka_unit_test(test_version_wraps),         cmocka_unit_test(test_a_reader_that_is_gone),
        cmocka_unit_test(test_a_writer_waits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

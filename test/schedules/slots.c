/* SPDX-License-Identifier: MIT
 *
 * slots.c - scenarios for threads that share the spans of a heap (src/slots), as malloc does.
 *
 * The slots have 8 KiB, so that a span has 8 of them, and few frees end its countdown. At the end of
 * each schedule the heap must be sound, hold just the objects that the threads have, and be all
 * free once these were freed: no span may be lost.
 */
#include "explore.h"

#include "core/pieces.h"
#include "heaps/lookup.h"

enum { SIZE = 8192, NSLOTS = 8, NOBJECTS = 64 };

static struct heap heap;
static struct thread thread[NTHREADS_MAX];

/* Objects that some thread has, as the test knows them. */
static unsigned char *live[NOBJECTS];
static unsigned nlive;

/* --- malloc and free, as src/malloc has them ----------------------------------------- */

static void note_taken(void *object)
{
    for (unsigned i = 0; i < nlive; i++)
        explore_expect(live[i] != object, "an object is handed out twice");
    live[nlive++] = object;
}

static void note_freed(const void *object)
{
    for (unsigned i = 0; i < nlive; i++)
        if (live[i] == object)
            live[i] = live[--nlive];
}

static void *take_of(int i, size_t nbytes)
{
    struct thread *t = &thread[i];
    void *object = NULL;
    unsigned sizeclass = heap_sizeclass(&heap, nbytes, 1);
    while (t->tcache != NULL) {
        bool small = nbytes <= TCACHE_SMALL_MAX;
        if ((small ? tcache_take_small(t, nbytes, &object)
                   : tcache_take_large(t, nbytes, sizeclass, &object, NULL)) ||
            tcache_take(t, nbytes, sizeclass, &object, NULL))
            break;
        if (!heap_refill(&heap, t, sizeclass))
            break;
    }
    if (object == NULL && heap_take(&heap, nbytes, FIT_ANY, &object) != HEAP_OK)
        return NULL;
    note_taken(object);
    return object;
}

static void *take(int i)
{
    return take_of(i, SIZE);
}

/* Returns whether there was an object. */
static bool give_any(int i, const void *address)
{
    struct thread *t = &thread[i];
    enum tcache_freed freed = tcache_free(t, address);
    if (freed == TCACHE_NOT_FREED)
        freed = tcache_free_wide(t, address);
    if (freed == TCACHE_FREED_REFILE)
        heap_refile(&heap, address);
    return freed != TCACHE_NOT_FREED || heap_free_exact(&heap, address) == HEAP_OK;
}

static void give(int i, const void *address)
{
    note_freed(address);
    explore_expect(give_any(i, address), "a free of a live object is refused");
}

/* --- before and after ------------------------------------------------------------------ */

static void open_heap(int nthreads)
{
    struct region region = {.base = explore_memory, .nbytes = EXPLORE_BYTES};
    heap = (struct heap){0};
    memset(thread, 0, sizeof thread);
    nlive = 0;
    heap_open_locked(&heap, region, NULL);
    heap.keeps_pages = true; /* there is no clock */
    heap.trim.peak = TRIM_NEVER;
    for (int i = 0; i < nthreads; i++) {
        explore_as(i);
        heap_join(&heap, &thread[i]);
        explore_expect(thread[i].tcache != NULL, "a thread has no cache");
    }
    explore_as(0);
}

static size_t count_objects(void)
{
    struct piece p;
    size_t n = 0;
    for (size_t at = 0; heap_piece_locked(&heap, at, &p); at += p.nbytes)
        n += p.kind == PIECE_OBJECT;
    return n;
}

static void check_all(void)
{
    void *all;
    explore_expect(heap.lock.state == LOCK_FREE, "the lock is still taken");
    explore_expect(check_heap(&heap) == HEAP_OK, "the heap is damaged");
    explore_expect(count_objects() == nlive, "the heap does not hold what the threads have");
    while (nlive > 0)
        give(0, live[nlive - 1]);
    explore_expect(heap_take(&heap, EXPLORE_BYTES - 48, FIT_ANY, &all) == HEAP_OK,
                   "not all of the region is free again");
    explore_expect(heap_free_exact(&heap, all) == HEAP_OK, "the region cannot be freed");
    explore_expect(check_heap(&heap) == HEAP_OK, "the heap is damaged when it is empty");
}

/* --- two threads take and free in one span -------------------------------------------- */

static void *object[NOBJECTS];

static void open_one_span(void)
{
    open_heap(2);
    for (int i = 0; i < NSLOTS; i++)
        object[i] = take(0);
    give(0, object[7]);
}

static void take_and_free_0(void)
{
    void *a = take(0);
    give(0, object[0]);
    take(0);
    give(0, a);
}

static void take_and_free_1(void)
{
    give(1, object[1]);
    give(1, object[2]);
    take(1);
}

/* --- a thread parks and unparks a span while another one claims it --------------------- */

/* Thread 0 has parked one span and used up another one. */
static void open_parked(void)
{
    open_heap(2);
    for (int i = 0; i < 2 * NSLOTS; i++)
        object[i] = take(0);
}

static void take_two(void)
{
    take(0);
    take(0);
}

static void free_three_of_the_parked(void)
{
    for (int i = 0; i < 3; i++)
        give(1, object[i]);
    take(1);
}

const struct scenario slots_scenarios[] = {
    {.name = "two threads take and free in one span",
     .open = open_one_span,
     .thread = {take_and_free_0, take_and_free_1},
     .check = check_all},
    {.name = "a span is unparked while it is claimed",
     .open = open_parked,
     .thread = {take_two, free_three_of_the_parked},
     .check = check_all},
    {.name = NULL}};

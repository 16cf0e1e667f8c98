/* SPDX-License-Identifier: MIT
 *
 * slots.c - checks threads that share the spans of a heap (src/slots), as malloc does, in all
 * schedules with few surprises.
 *
 * The slots have 8 KiB, so that a span has 8 of them, and few frees end its countdown. At the end
 * of each schedule the heap must be sound, hold just the objects that the threads have, and be all
 * free once these were freed: no span may be lost.
 */
#include "explore.h"

#include "core/pieces.h"
#include "core/lookup.h"

enum { SIZE = 8192, NSLOTS = 8, NOBJECTS = 64 };

static struct heap heap;
static struct thread thread[NTHREADS_MAX];

/* Objects that some thread has, as the test knows them. */
static unsigned char *live[NOBJECTS];
static unsigned nlive;

/* --- malloc and free, as src/malloc has them ----------------------------------------- */

#define UNSEEN __attribute__((no_sanitize_thread)) /* no thread is switched in it */
UNSEEN static void note_taken(void *object)
{
    for (unsigned i = 0; i < nlive; i++)
        explore_expect(live[i] != object, "an object is handed out twice");
    live[nlive++] = object;
}

UNSEEN static void note_freed(const void *object)
{
    for (unsigned i = 0; i < nlive; i++)
        if (live[i] == object)
            live[i] = live[--nlive];
}

/* The thread that has an object writes to it: a race, if its order to what another thread wrote
 * there before is not known. */
static void use(void *object)
{
    *(uint64_t *)object = 1;
}

UNSEEN static bool has_cache(const struct thread *t)
{
    return t->tcache != NULL;
}

static void *take_of(int i, size_t nbytes)
{
    struct thread *t = &thread[i];
    void *object = NULL;
    unsigned sizeclass = heap_sizeclass(&heap, nbytes, 1);
    while (has_cache(t)) {
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
    use(object);
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
    if (freed == TCACHE_FREED_REFILE)
        heap_refile(&heap, address);
    return freed != TCACHE_NOT_FREED || heap_free_exact(&heap, address) == HEAP_OK;
}

static void give(int i, void *address)
{
    note_freed(address);
    use(address);
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

/* Counts the objects in slots: the scenarios have no other. */
static size_t count_objects(void)
{
    size_t n = 0;
    for (uint32_t slice = 1; slice <= spans_last_slice(&heap.spans); slice++) {
        const struct span *span = pagemap_span(&heap.spans, slice);
        if (span->slot_bytes != 0 && span->purpose == FOR_OBJECTS)
            n += span->nslots - states_count_free(span->states, span->nslots);
    }
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

/* Thread 0 has parked one span, and has one slot left in another one. */
static void open_nearly_used(void)
{
    open_heap(2);
    for (int i = 0; i < 2 * NSLOTS - 1; i++)
        object[i] = take(0);
}

/* Takes that slot, and parks its span for the other one, without the lock. */
static void swap_spans(void)
{
    give(0, object[0]);
    take(0);
    take(0);
}

static void free_three_of_the_other(void)
{
    for (int i = 0; i < 3; i++)
        give(1, object[NSLOTS + i]);
    take(1);
}

/* One slot of that span at most is free, whether it is in use or parked. */
static void count_free(void)
{
    heap_lock(&heap);
    uint32_t slice = pagemap_slice(&heap.spans, (uintptr_t)object[NSLOTS]);
    explore_expect(span_nfree(pagemap_span(&heap.spans, slice)) <= 1, "a used slot counts as free");
    heap_unlock(&heap);
}

/* --- objects go from one thread to another by their states only ------------------------ */

/* Thread 1 has no cache, and is about to take the first slot of a span without an owner, of which
 * another slot is free. */
static void open_given_to_heap(void)
{
    open_heap(2);
    for (int i = 0; i < NSLOTS; i++)
        object[i] = take(0);
    give(0, object[7]);
    heap_leave(&heap, &thread[0]);
    heap_join(&heap, &thread[0]);
    explore_as(1);
    heap_leave(&heap, &thread[1]);
    explore_as(0);
}

static void give_first(void)
{
    give(0, object[0]);
}

static void take_by_heap(void)
{
    take(1);
}

/* Thread 0 has used up a span, and thread 1 has no cache. */
static void open_given_by_heap(void)
{
    open_heap(2);
    for (int i = 0; i < NSLOTS; i++)
        object[i] = take(0);
    explore_as(1);
    heap_leave(&heap, &thread[1]);
    explore_as(0);
}

/* The slot that thread 0 has taken last is the second one. */
static void give_by_heap(void)
{
    give(1, object[0]);
    give(1, object[NSLOTS - 1]);
}

static void take_one(void)
{
    take(0);
}

/* --- an empty span is given back while a stale pointer is freed ------------------------ */

/* Memory that was the library's and is a large object now. No reader may write there. */
static struct {
    unsigned char *start, *states, *entry;
} large;
enum { PATTERN = 0x55, NMARKED = 64 };

/* Notes where the states and the entry of an object's span are. */
static void note_span(const void *address)
{
    struct span *span = pagemap_span(&heap.spans, pagemap_slice(&heap.spans, (uintptr_t)address));
    large.states = span->states;
    large.entry = (unsigned char *)span;
}

/* Takes all of the region, in which there is no object any longer, and writes to it. */
static void take_all(void)
{
    void *all;
    if (heap_take(&heap, EXPLORE_BYTES - 48, FIT_ANY, &all) != HEAP_OK)
        return;
    explore_expect(nlive == 0, "a large object lies over another one");
    note_taken(all);
    large.start = all;
    memset(large.states, PATTERN, NMARKED);
    memset(large.entry, PATTERN, NMARKED);
}

static void expect_pattern(const unsigned char *from)
{
    for (int i = 0; i < NMARKED; i++)
        explore_expect(from[i] == PATTERN, "memory that went back was written to");
}

static void check_large(void)
{
    if (large.start != NULL) {
        expect_pattern(large.states);
        expect_pattern(large.entry);
        note_freed(large.start);
        explore_expect(heap_free_exact(&heap, large.start) == HEAP_OK, "a free is refused");
    }
    check_all();
}

/* One object is left, in a span that has no owner. */
static void open_nearly_empty(void)
{
    open_heap(2);
    for (int i = 0; i < NSLOTS; i++)
        object[i] = take(0);
    heap_leave(&heap, &thread[0]);
    heap_join(&heap, &thread[0]);
    for (int i = 1; i < NSLOTS; i++)
        give(0, object[i]);
    note_span(object[0]);
    large.start = NULL;
}

static void free_stale(void)
{
    give_any(0, object[0]);
}

static void free_and_take_all(void)
{
    note_freed(object[0]);
    give_any(1, object[0]);
    take_all();
}

static void ask_stale(void)
{
    size_t nbytes = SIZE;
    tcache_size(&thread[0], object[0], &nbytes);
    explore_expect(nbytes == SIZE || nbytes == EXPLORE_BYTES - 48, "a size that never was");
    tcache_resize(&thread[0], object[0], SIZE - 100, &nbytes);
}

/* The spans go back, and the caches stay. */
static void free_and_give_back(void)
{
    note_freed(object[0]);
    give_any(1, object[0]);
    heap_lock(&heap);
    spans_give_back_empty(&heap.spans);
    struct span *span = (struct span *)(void *)large.entry;
    large.start = span->slot_bytes == 0 ? large.states : NULL;
    if (large.start != NULL)
        memset(large.states, PATTERN, NMARKED);
    heap_unlock(&heap);
}

static void check_given_back(void)
{
    if (large.start != NULL)
        expect_pattern(large.states);
    check_all();
}

/* One object is left, the second of its span, which has no owner. */
static void open_second_left(void)
{
    open_heap(2);
    for (int i = 0; i < NSLOTS; i++)
        object[i] = take(0);
    heap_leave(&heap, &thread[0]);
    heap_join(&heap, &thread[0]);
    for (int i = 0; i < NSLOTS; i++)
        if (i != 1)
            give(0, object[i]);
}

static void free_stale_second(void)
{
    give_any(0, object[1]);
}

/* The span is recut for smaller slots: its second one does not begin where the object was. */
static void free_and_take_smaller(void)
{
    note_freed(object[1]);
    give_any(1, object[1]);
    take_of(1, SIZE / 2 + 1);
    take_of(1, SIZE / 2 + 1);
}

static void open_without_cache(void)
{
    open_nearly_empty();
    explore_as(1);
    heap_leave(&heap, &thread[1]);
    explore_as(0);
}

/* --- caches are revoked while a thread uses its own ------------------------------------- */

static void open_revoked(void)
{
    open_heap(2);
    object[0] = take(0);
    object[1] = take(0);
    give(0, object[1]);
    note_span(object[0]);
    large.entry = (unsigned char *)thread[0].tcache->window[heap_sizeclass(&heap, SIZE, 1)];
    large.start = NULL;
}

/* The thread's window does not know that its slots are free. */
static void open_revoked_empty(void)
{
    open_heap(2);
    for (int i = 0; i < NSLOTS; i++)
        object[i] = take(0);
    for (int i = 0; i < NSLOTS; i++)
        give(1, object[i]);
    note_span(object[0]);
    large.entry = (unsigned char *)thread[0].tcache->window[heap_sizeclass(&heap, SIZE, 1)];
    large.start = NULL;
}

/* The span stays, as it has an object. */
static void open_revoked_partial(void)
{
    open_heap(2);
    for (int i = 0; i < NSLOTS; i++)
        object[i] = take(0);
    for (int i = 1; i < NSLOTS; i++)
        give(1, object[i]);
}

/* The calling thread gets a new cache, with the span that was thread 0's. */
static void revoke_and_take(void)
{
    heap_lock(&heap);
    tcaches_revoke_locked(&heap.spans);
    heap_unlock(&heap);
    heap_join(&heap, &thread[1]);
    take(1);
    take(1);
}

static void take_and_free(void)
{
    object[0] = take(0);
    if (object[0] != NULL)
        give(0, object[0]);
}

static void free_and_take(void)
{
    give(0, object[0]);
    object[0] = take(0);
    if (object[0] != NULL)
        give(0, object[0]);
}

static void check_revoked(void)
{
    check_large();
    explore_expect(thread[1].tcache == NULL || heap.spans.threads.first != NULL, "a cache is lost");
}

/* A thread that was told to have no cache may get one while another thinks that it is alone. */
static void open_one_cache(void)
{
    open_nearly_empty();
    heap_leave(&heap, &thread[0]);
}

static void join_and_free_stale(void)
{
    heap_join(&heap, &thread[0]);
    give_any(0, object[0]);
}

/* --- objects that change their size or go, at the same time ---------------------------------- */

static void open_resized(void)
{
    open_heap(2);
    object[0] = take_of(0, 1000);
    object[1] = take(0);
}

static bool races_with_frees;

static void resize_both(void)
{
    size_t was;
    tcache_resize_near(&thread[0], object[0], 900);
    tcache_resize(&thread[0], object[1], SIZE - 1000, &was);
}

static void free_both(void)
{
    note_freed(object[0]);
    note_freed(object[1]);
    bool freed = give_any(1, object[0]);
    freed &= give_any(1, object[1]);
    explore_expect(freed || races_with_frees, "a free is refused");
}

static void free_both_too(void)
{
    races_with_frees = true;
    give_any(0, object[1]);
    give_any(0, object[0]);
}

static void resize_by_heap(void)
{
    heap_resize(&heap, object[0], 900, true);
    heap_resize(&heap, object[1], SIZE - 1000, true);
}

/* --- a thread ends, or a process forks, in the middle of another one's call ------------------- */

static void end_thread(void)
{
    heap_leave(&heap, &thread[0]);
}

static void free_three_and_take(void)
{
    for (int i = 0; i < 3; i++)
        give(1, object[i]);
    take(1);
}

/* The calls of a thread that is gone in the child. */
static void take_until_gone(void)
{
    note_freed(object[4]);
    give_any(0, object[4]);
    note_freed(object[3]);
    give_any(0, object[3]);
    take(0);
    take(0);
}

static void fork_child(void)
{
    heap_lock(&heap);
    explore_end_thread(0);
    heap_forked_locked(&heap, &thread[1]);
    heap_unlock(&heap);
}

/* The child may have one object more, which the other thread has not seen yet, or was freeing. */
static void check_child(void)
{
    struct piece p;
    unsigned nfound = 0, nmore = 0;
    thread[0] = (struct thread){0};
    for (size_t at = 0; heap_piece_locked(&heap, at, &p); at += p.nbytes) {
        if (p.kind != PIECE_OBJECT)
            continue;
        bool known = false;
        for (unsigned i = 0; i < nlive; i++)
            known |= live[i] == p.start;
        nfound++;
        if (!known) {
            nmore++;
            live[nlive++] = p.start;
        }
    }
    explore_expect(nfound == nlive && nmore <= 1, "the child has lost an object, or has too many");
    check_all();
}

/* --- lookups while spans come and go ---------------------------------------------------------- */

static unsigned char *place; /* where the next span lies */

static void open_looked_up(void)
{
    open_heap(2);
    object[0] = take_of(1, 1000);
    object[1] = take(1);
    place = object[1];
    give(1, object[1]);
    heap_leave(&heap, &thread[1]);
    heap_lock(&heap);
    spans_give_back_empty(&heap.spans);
    heap_unlock(&heap);
    explore_as(1);
    heap_join(&heap, &thread[1]);
    explore_as(0);
}

static void make_and_give_back(void)
{
    void *made = take(1);
    explore_expect(made == place, "the span lies elsewhere");
    give(1, made);
    heap_leave(&heap, &thread[1]);
    heap_lock(&heap);
    spans_give_back_empty(&heap.spans);
    heap_unlock(&heap);
}

static void look_up(void)
{
    struct lookup_result r;
    enum heap_result what = lookup_heap(&heap, place + 100, &r);
    explore_expect(what == HEAP_FREE || what == HEAP_OK || what == HEAP_CHANGING,
                   "a lookup finds what is not there");
    explore_expect(what != HEAP_OK || (r.start == place && r.size == SIZE),
                   "a lookup finds another object");
    what = lookup_heap(&heap, object[0], &r);
    explore_expect(what == HEAP_OK || what == HEAP_CHANGING, "a lookup finds no live object");
    explore_expect(what != HEAP_OK || (r.start == object[0] && r.size == 1000),
                   "a lookup finds a live object otherwise");
}

/* A chunk stays between others that come and go. */
static void *chunks[3];

static void open_chunks(void)
{
    open_heap(2);
    for (int i = 0; i < 3; i++)
        explore_expect(heap_take(&heap, 100000, FIT_ANY, &chunks[i]) == HEAP_OK, "no chunk");
}

static void look_up_chunk(void)
{
    struct lookup_result r;
    enum heap_result what = lookup_heap(&heap, (unsigned char *)chunks[1] + 100, &r);
    explore_expect(what == HEAP_OK || what == HEAP_CHANGING, "a lookup finds no live chunk");
    explore_expect(what != HEAP_OK || (r.start == chunks[1] && r.size == 100000),
                   "a lookup finds another chunk");
}

static void change_chunks(void)
{
    void *half;
    explore_expect(heap_free_exact(&heap, chunks[0]) == HEAP_OK, "a free is refused");
    heap_take(&heap, 50000, FIT_ANY, &half);
    heap_free_exact(&heap, chunks[2]);
    heap_free_exact(&heap, half);
}

static void check_chunks(void)
{
    explore_expect(heap_free_exact(&heap, chunks[1]) == HEAP_OK, "a free is refused");
    check_all();
}

/* The size of an object that thread 1 takes. A lookup finds it, or that the slot is free. */
static size_t taken_size;

static void look_up_size(void)
{
    struct lookup_result r;
    enum heap_result what = lookup_heap(&heap, place, &r);
    explore_expect(what != HEAP_OK || (r.start == place && r.size == taken_size),
                   "a lookup finds another size");
}

/* The slot had an object with more slack before. */
static void open_sized(void)
{
    open_heap(2);
    object[0] = take(1);
    place = object[1] = take_of(1, SIZE - 450);
    give(1, place);
    taken_size = SIZE - 300;
}

static void take_sized(void)
{
    explore_expect(take_of(1, SIZE - 300) == place, "the object lies elsewhere");
}

static void open_sized_by_heap(void)
{
    open_sized();
    explore_as(1);
    heap_leave(&heap, &thread[1]);
    explore_as(0);
}

static void *take_aligned(void)
{
    void *taken = NULL;
    if (tcache_take_aligned(&thread[1], 900, TCACHE_SMALL_MAX, &taken)) {
        note_taken(taken);
        use(taken);
    }
    return taken;
}

static void open_aligned(void)
{
    open_heap(2);
    place = take_of(1, TCACHE_SMALL_MAX);
    place += TCACHE_SMALL_MAX;
    taken_size = 900;
}

static void take_aligned_there(void)
{
    explore_expect(take_aligned() == place, "the object lies elsewhere");
}

/* A thread has kept a view of the heap, in which a span becomes one of smaller slots. */
static struct lookup_view view;

static void open_kept(void)
{
    open_heap(2);
    object[0] = take_of(1, 1000);
    place = object[1] = take_of(1, 500);
    explore_expect(lookup_view_open(&heap, &view), "there is no view");
}

static void look_up_kept(void)
{
    struct lookup_result r;
    for (int i = 0; i < 2; i++)
        if (lookup_object(&view, (uintptr_t)place + 100, &r))
            explore_expect(r.start == place && r.size == 500, "a lookup finds another object");
}

static void make_smaller(void)
{
    give(1, place);
    heap_leave(&heap, &thread[1]);
    heap_lock(&heap);
    spans_give_back_empty(&heap.spans);
    heap_unlock(&heap);
    heap_join(&heap, &thread[1]);
    explore_expect(take_of(1, 470) == place, "the span lies elsewhere");
    take_of(1, 470);
}

/* No thread has a cache, so an empty span is recut at once, without a barrier, and its states stay
 * where they are. A lookup that finds the new slot size and the old state must not believe them. */
static void open_recut(void)
{
    open_heap(0);
    place = take_of(1, SIZE);
    explore_expect(lookup_view_open(&heap, &view), "there is no view");
}

static void look_up_recut(void)
{
    struct lookup_result r;
    if (lookup_object(&view, (uintptr_t)place + 100, &r))
        explore_expect(r.start == place && r.size == SIZE, "a lookup finds another object");
}

static void recut(void)
{
    give(1, place);
    explore_expect(take_of(1, SIZE / 8 * 7) == place, "the span lies elsewhere");
}

static void free_wild(void)
{
    if (give_any(0, place))
        note_freed(place);
}

static void make_one(void)
{
    void *made = take(1);
    explore_expect(made == place, "the span lies elsewhere");
}

enum { WIDE = 10000 };

static void open_wide(void)
{
    open_heap(2);
    heap.spans.object_max = sizeclass_bytes(sizeclass_of(WIDE)); /* as in a larger region */
    object[0] = take_of(1, 1000);
    place = object[1] = take_of(1, WIDE);
    give(1, place);
    heap_leave(&heap, &thread[1]);
    heap_lock(&heap);
    spans_give_back_empty(&heap.spans);
    heap_unlock(&heap);
    explore_as(1);
    heap_join(&heap, &thread[1]);
    explore_as(0);
}

static void make_wide(void)
{
    explore_expect(take_of(1, WIDE) == place, "the span lies elsewhere");
}

/* The wild free may have come before or after the object was noted. */
static void check_wild(void)
{
    struct object found;
    if (heap_find_exact(&heap, place, &found) != HEAP_OK)
        note_freed(place);
    check_all();
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
    {.name = "a span is recut while a stale pointer is freed",
     .open = open_second_left,
     .thread = {free_stale_second, free_and_take_smaller},
     .check = check_all},
    {.name = "a span goes while a stale pointer is freed",
     .open = open_nearly_empty,
     .thread = {free_stale, free_and_take_all},
     .check = check_large},
    {.name = "a span goes while a stale pointer is asked about and resized",
     .open = open_nearly_empty,
     .thread = {ask_stale, free_and_take_all},
     .check = check_large},
    {.name = "a span goes back while a stale pointer is freed",
     .open = open_nearly_empty,
     .thread = {free_stale, free_and_give_back},
     .check = check_given_back},
    {.name = "a thread without a cache gives a span back",
     .open = open_without_cache,
     .thread = {free_stale, free_and_give_back},
     .check = check_given_back},
    {.name = "a span goes while a thread gets a cache",
     .open = open_one_cache,
     .thread = {join_and_free_stale, free_and_take_all},
     .check = check_large},
    {.name = "caches are revoked while a thread uses its own",
     .open = open_revoked,
     .thread = {free_and_take, take_all},
     .check = check_revoked},
    {.name = "caches are revoked while a thread looks for slots",
     .open = open_revoked_empty,
     .thread = {take_and_free, take_all},
     .check = check_revoked},
    {.name = "a span changes its owner while the old one looks for slots",
     .open = open_revoked_partial,
     .thread = {take_two, revoke_and_take},
     .check = check_all},
    {.name = "objects are freed while they are resized",
     .open = open_resized,
     .thread = {resize_both, free_both},
     .check = check_all},
    {.name = "objects are freed while they are resized under the lock",
     .open = open_resized,
     .thread = {resize_by_heap, free_both},
     .check = check_all},
    {.name = "objects are freed twice",
     .open = open_resized,
     .thread = {free_both_too, free_both},
     .check = check_all},
    {.name = "a thread ends while its span is claimed",
     .open = open_parked,
     .thread = {end_thread, free_three_and_take},
     .check = check_all},
    {.name = "a process forks while another thread parks",
     .open = open_parked,
     .thread = {take_until_gone, fork_child},
     .check = check_child,
     .each_write_counts = true},
    {.name = "a lookup while a span comes and goes",
     .open = open_looked_up,
     .thread = {look_up, make_and_give_back},
     .check = check_all,
     .lookups_race = true},
    {.name = "a wild free while a span is made",
     .open = open_looked_up,
     .thread = {free_wild, make_one},
     .check = check_wild},
    {.name = "a wild free while a span of large slots is made",
     .open = open_wide,
     .thread = {free_wild, make_wide},
     .check = check_wild},
    {.name = "a span is claimed that was parked just before",
     .open = open_nearly_used,
     .thread = {swap_spans, free_three_of_the_other},
     .check = check_all},
    {.name = "an object is freed without the lock and taken under it",
     .open = open_given_to_heap,
     .thread = {give_first, take_by_heap},
     .check = check_all},
    {.name = "an object is freed under the lock and taken without it",
     .open = open_given_by_heap,
     .thread = {take_one, give_by_heap},
     .check = check_all},
    {.name = "free slots are counted while a span is parked",
     .open = open_nearly_used,
     .thread = {swap_spans, count_free},
     .check = check_all},
    {.name = "a chunk is looked up while others come and go",
     .open = open_chunks,
     .thread = {look_up_chunk, change_chunks},
     .check = check_chunks,
     .lookups_race = true},
    {.name = "a size is looked up while a large slot is taken",
     .open = open_sized,
     .thread = {look_up_size, take_sized},
     .check = check_all,
     .lookups_race = true},
    {.name = "a size is looked up while a slot is taken under the lock",
     .open = open_sized_by_heap,
     .thread = {look_up_size, take_sized},
     .check = check_all,
     .lookups_race = true},
    {.name = "a size is looked up while an aligned object is taken",
     .open = open_aligned,
     .thread = {look_up_size, take_aligned_there},
     .check = check_all,
     .lookups_race = true},
    {.name = "a kept view is used while a span is cut anew",
     .open = open_kept,
     .thread = {look_up_kept, make_smaller},
     .check = check_all,
     .lookups_race = true},
    {.name = "a kept view is used while a span is recut",
     .open = open_recut,
     .thread = {look_up_recut, recut},
     .check = check_all,
     .lookups_race = true},
    {.name = NULL}};

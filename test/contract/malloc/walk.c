/* SPDX-License-Identifier: MIT
 *
 * Checks mem_walk, mem_stats, mem_check and mem_find_in on malloc's own heap: with one thread,
 * while other threads take and free, with visitors that call malloc themselves, and after fork.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <malloc.h>

#include "mem_heap.h"
#include "tap.h"

enum { N = 4000, NTHREADS = 4, NHELD = 500, NWALKS = 10 };
static mem_heap *heap;
static uint64_t dice = 5;

/* --- a set of objects that stays ------------------------------------------------------ */

struct known {
    char *start;
    size_t size;
    unsigned nseen;
};
static struct known known[N]; /* In address order. */

static size_t any_size(uint64_t *state)
{
    static const uint32_t most[] = {16, 64, 300, 2000, 9000, 70000};
    return rnd(state, most[rnd(state, 6)]);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct known *)a)->start,
              y = (uintptr_t)((const struct known *)b)->start;
    return (x > y) - (x < y);
}

static void make_known(void)
{
    for (size_t i = 0; i < N; i++) {
        size_t size = any_size(&dice), align = (size_t)16 << rnd(&dice, 9);
        known[i].start = opaque(i % 7 == 0 ? aligned_alloc(align, size) : malloc(any_size(&dice)));
        if (i % 7 != 0) {
            known[i].start = realloc(known[i].start, size + 1);
            size++;
        }
        known[i].size = size;
    }
    qsort(known, N, sizeof known[0], by_address);
}

static struct known *known_at(const void *start)
{
    struct known wanted = {.start = (char *)(uintptr_t)start};
    return bsearch(&wanted, known, N, sizeof known[0], by_address);
}

/* --- one walk ------------------------------------------------------------------------- */

struct tour {
    const char *end; /* The end of the piece before. */
    size_t nlive, live_bytes, nfree, free_bytes;
    unsigned nwrong; /* Pieces out of order, of another size, or of another heap. */
    void (*meanwhile)(struct tour *t, const struct mem_piece *p);
    size_t stop_after; /* Number of pieces after which the walk stops, or 0. */
};

static bool visit(const struct mem_piece *p, void *context)
{
    struct tour *t = context;
    struct known *k = p->live ? known_at(p->start) : NULL;
    t->nwrong += (const char *)p->start < t->end || p->heap != heap;
    t->end = (const char *)p->start + p->size;
    t->nlive += p->live;
    t->live_bytes += p->live ? p->size : 0;
    t->nfree += !p->live;
    t->free_bytes += p->live ? 0 : p->size;
    if (k != NULL) {
        k->nseen++;
        t->nwrong += k->size != p->size;
    }
    if (t->meanwhile != NULL)
        t->meanwhile(t, p);
    return t->nlive + t->nfree != t->stop_after;
}

/* Walks the heap. Returns true if every known object was shown once, with its size, and no piece
 * was wrong. */
static bool is_right(struct tour *t)
{
    for (size_t i = 0; i < N; i++)
        known[i].nseen = 0;
    bool right = mem_walk(heap, visit, t) == MEM_OK && t->nwrong == 0;
    for (size_t i = 0; i < N; i++)
        right = right && known[i].nseen == 1;
    return right;
}

static void test_alone(void)
{
    struct tour t = {0};
    struct mem_statistics s;
    const char *wrong = "?";
    check(is_right(&t), "each object once, in order, with its size");
    check(mem_stats(heap, &s) == MEM_OK && s.live_objects == t.nlive &&
              s.live_bytes == t.live_bytes && s.free_chunks == t.nfree &&
              s.free_bytes == t.free_bytes,
          "mem_stats counts what mem_walk shows");
    check(s.region_bytes == s.live_bytes + s.slack_bytes + s.free_bytes + s.metadata_bytes,
          "and adds up");
    struct mallinfo2 info = mallinfo2();
    check(info.uordblks == s.live_bytes + s.slack_bytes && info.fordblks <= s.free_bytes &&
              info.ordblks + info.smblks == s.free_chunks && s.peak_bytes == 0,
          "mallinfo2 says what a walk sees, except for what is not open");
    check(mem_check(heap, &wrong) == MEM_OK && wrong == NULL, "mem_check finds nothing wrong");
    struct tour few = {.stop_after = 300};
    check(mem_walk(heap, visit, &few) == MEM_OK && few.nlive + few.nfree == 300,
          "a visitor may have seen enough");
}

static void test_find_in(void)
{
    bool all = true;
    struct mem_piece p;
    for (size_t i = 0; i < N; i++) {
        const struct known *k = &known[i];
        const char *last = k->size > 0 ? k->start + k->size - 1 : k->start;
        all = all && mem_find_in(heap, last, &p) == MEM_OK && p.live && p.start == k->start &&
              p.size == k->size && p.heap == heap;
    }
    check(all, "mem_find_in: any object from its last byte");
    check(mem_find_in(heap, &p, &p) == MEM_NOT_OURS, "mem_find_in: the stack is not in it");
    char *gone = opaque(malloc(100));
    free(gone);
    check(mem_find_in(heap, gone, &p) == MEM_OK && !p.live, "mem_find_in: what was freed is free");
}

/* --- visitors that use malloc ----------------------------------------------------------- */

static char *held[256];

static void allocate_and_free(struct tour *t, const struct mem_piece *p)
{
    size_t i = (t->nlive + t->nfree) % 256;
    char text[40];
    free(held[i]);
    held[i] = malloc(any_size(&dice));
    snprintf(text, sizeof text, "%p", p->start);
    FILE *file = t->nlive % 64 == 0 ? fopen("/dev/null", "w") : NULL; /* fopen allocates. */
    if (file != NULL) {
        fprintf(file, "%p %f\n", p->start, 1e300);
        fclose(file);
    }
}

/* Frees or resizes an object that was just shown. It grows, shrinks or moves among pieces of
 * which the walk has noted some already. Known objects stay. */
static void resize_and_free(struct tour *t, const struct mem_piece *p)
{
    (void)t;
    for (size_t i = 0; i < 256; i++)
        if (held[i] == p->start) {
            held[i] = rnd(&dice, 3) == 0 ? (free(held[i]), NULL)
                                         : realloc(held[i], 1 + any_size(&dice) + p->size);
            return;
        }
}

static void walk_again(struct tour *t, const struct mem_piece *p)
{
    struct tour inner = {.stop_after = 10};
    struct mem_statistics s;
    struct mem_piece found;
    if (t->nlive % 500 != 0 || !p->live)
        return;
    t->nwrong += mem_walk(heap, visit, &inner) != MEM_OK || inner.nwrong > 0;
    for (size_t i = 0; i < 10; i++) /* The inner walk has counted its first pieces once more. */
        known[i].nseen = 1;
    t->nwrong += mem_stats(heap, &s) != MEM_OK || mem_check(heap, NULL) != MEM_OK;
    t->nwrong += mem_find_in(heap, p->start, &found) != MEM_OK || found.start != p->start;
}

enum { NLARGE = 600, NSMALL = 3000, A_WHILE = 150 };
static char *large[NLARGE], *small[NSMALL];
static size_t ngrown;

/* Grows an object in place into the hole behind it. If the walk has noted the pieces that follow,
 * none of those it shows may begin inside the grown object. */
static void grow_in_place(struct tour *t, const struct mem_piece *p)
{
    (void)t;
    for (size_t i = 0; p->live && p->size == 100000 && i < NLARGE; i++)
        if (large[i] == p->start) {
            char *now = realloc(large[i], 150000);
            ngrown += now == large[i];
            large[i] = now;
            return;
        }
}

static bool grows_in_place(void)
{
    struct tour t = {.meanwhile = grow_in_place};
    size_t nholes = 0;
    for (size_t i = 0; i < NLARGE; i++)
        large[i] = opaque(malloc(100000));
    for (size_t i = 1; i < NLARGE; i += i % 3 + 1, nholes++)
        free(large[i]), large[i] = NULL;
    bool right = is_right(&t) && ngrown > (NLARGE - nholes) / 2;
    for (size_t i = 0; i < NLARGE; i++)
        free(large[i]);
    return right;
}

static void make_small(size_t size)
{
    for (size_t i = 0; i < NSMALL; i++)
        free(small[i]);
    malloc_trim(0);
    for (size_t i = 0; i < NSMALL; i++)
        small[i] = size == 0 ? NULL : malloc(size);
}

/* Replaces spans by spans with slots of another size. Some time later, the pieces that are shown
 * must be those that are there. */
static void cut_anew(struct tour *t, const struct mem_piece *p)
{
    static size_t size = 40, since;
    struct mem_piece found;
    if (++since > A_WHILE && p->live)
        t->nwrong += mem_find_in(heap, p->start, &found) != MEM_OK || found.start != p->start;
    if (p->size != size || since < A_WHILE || rnd(&dice, A_WHILE) != 0)
        return;
    make_small(size = 144 - size);
    since = 0;
}

static bool cuts_anew(void)
{
    bool right = true;
    make_small(40);
    for (int i = 0; i < 2; i++) {
        struct tour t = {.meanwhile = cut_anew};
        right = is_right(&t) && right;
    }
    make_small(0);
    return right;
}

static void test_visitors(void)
{
    struct tour t = {.meanwhile = allocate_and_free}, u = {.meanwhile = resize_and_free};
    check(is_right(&t), "the visitor calls malloc, free, printf and fopen");
    check(is_right(&u), "it resizes and frees what it is shown");
    for (size_t i = 0; i < 256; i++)
        free(held[i]), held[i] = NULL;
    check(grows_in_place(), "what it is shown grows into what follows");
    check(cuts_anew(), "spans go, and others come where they were");
    struct tour w = {.meanwhile = walk_again};
    check(mem_walk(heap, visit, &w) == MEM_OK && w.nwrong == 0, "it walks, counts and asks again");
}

/* --- while threads take and free --------------------------------------------------------- */

static bool stop;

static void *churn(void *number)
{
    uint64_t state = 1000 + (uintptr_t)number;
    char *mine[NHELD] = {0};
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        size_t i = rnd(&state, NHELD);
        if (rnd(&state, 4) == 0) {
            mine[i] = realloc(mine[i], 1 + any_size(&state));
        } else {
            free(mine[i]);
            mine[i] = malloc(any_size(&state));
        }
    }
    for (size_t i = 0; i < NHELD; i++)
        free(mine[i]);
    return NULL;
}

static int status_of_child(void)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        struct tour t = {0};
        struct mem_statistics s;
        bool right = is_right(&t) && mem_check(heap, NULL) == MEM_OK &&
                     mem_stats(heap, &s) == MEM_OK && s.live_objects == t.nlive;
        _exit(right ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

static void fork_sometimes(struct tour *t, const struct mem_piece *p)
{
    (void)p;
    if (t->nlive == 2000)
        t->nwrong += status_of_child() != 0;
}

static void test_threads(void)
{
    pthread_t thread[NTHREADS];
    bool walks = true, checks = true, adds_up = true, forks = true;
    for (uintptr_t i = 0; i < NTHREADS; i++)
        pthread_create(&thread[i], NULL, churn, (void *)i);
    for (int i = 0; i < share_of(NWALKS); i++) {
        struct tour t = {.meanwhile = i % 2 ? allocate_and_free : NULL};
        struct mem_statistics s;
        walks = is_right(&t) && walks;
        checks = mem_check(heap, NULL) == MEM_OK && checks;
        adds_up =
            mem_stats(heap, &s) == MEM_OK && s.live_objects >= N &&
            s.region_bytes == s.live_bytes + s.slack_bytes + s.free_bytes + s.metadata_bytes &&
            adds_up;
        forks = status_of_child() == 0 && forks;
    }
    struct tour t = {.meanwhile = fork_sometimes};
    check(walks, "each object once, while four threads take and free");
    check(checks, "mem_check, meanwhile");
    check(adds_up, "mem_stats, meanwhile");
    check(forks, "a child of fork has the same objects");
    check(mem_walk(heap, visit, &t) == MEM_OK && t.nwrong == 0, "a visitor may fork");
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < NTHREADS; i++)
        pthread_join(thread[i], NULL);
}

/* --- all other calls --------------------------------------------------------------------- */

static void test_refused(void)
{
    static const struct mem_options fill = {.flags = MEM_FILL_FREED, .fill_freed = 7};
    char *p = memset(opaque(malloc(100)), 1, 100);
    check(mem_alloc(heap, 10) == NULL && mem_last_error() == MEM_FOREIGN, "mem_alloc is refused");
    check(mem_zalloc(heap, 10) == NULL && mem_aligned(heap, 10, 64) == NULL &&
              mem_alloc_fit(heap, 10, 1, MEM_FIRST_FIT) == NULL && mem_resize(heap, p, 1) == NULL &&
              mem_last_error() == MEM_FOREIGN,
          "and its relatives");
    check(mem_free(heap, p) == MEM_FOREIGN && mem_free_any(heap, p + 9) == MEM_FOREIGN,
          "mem_free and mem_free_any");
    check(mem_heap_detach(heap) == MEM_FOREIGN && mem_heap_destroy(heap) == MEM_FOREIGN &&
              mem_heap_attach(heap, 1 << 20, &fill) == NULL,
          "mem_heap_destroy, _detach and _attach");
    check(mem_heap_of_process() == heap && all_are(p, 1, 100), "nothing has changed");
    free(p);
}

int main(void)
{
    heap = mem_heap_of_process();
    check(heap != NULL, "malloc has a heap");
    check(mem_heap_of_classic() == NULL && mem_last_error() == MEM_NO_HEAP,
          "Mem_Init was not called");
    make_known();
    test_alone();
    test_find_in();
    test_visitors();
    test_threads();
    malloc_trim(0); /* counts again what threads have freed at the same time [SP7] */
    test_alone();
    test_refused();
    return done();
}

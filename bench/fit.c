/* SPDX-License-Identifier: MIT
 *
 * fit.c - measures what a call costs when the heap has n holes: for libmem, and for the list
 * that a textbook would write, on the same heap, in the same run.
 *
 *     [obj 0]( hole )[obj 1]( hole ) ... [obj n-1][ plug ............ ]( hole )
 *                                                 all that is left over   1 KiB
 *
 *     F1  A heap has exactly n holes when a measurement starts. They are counted, those of
 *         libmem on m_free_list.
 *     F2  Both allocators get the same heap and the same calls in the same order, and both
 *         must do all of them: a call that fails ends the program.
 *     F3  Only calls are timed. Their operands are drawn before the clock starts.
 *     F4  Each heap is measured in a process of its own, since a process has only one classic
 *         heap.
 *
 * Sizes. An object has 16 to 2047 bytes: one of the seven doublings from 16 is drawn with
 * equal probability, then a size in it. So there are many small holes and few large ones. A
 * request is drawn from the lowest five doublings (16 to 511 bytes), so that a small heap, too,
 * always has a hole for it.
 *
 * Shapes. In the "aged" heap the holes of the lowest seventh of the addresses come from the
 * lowest doubling alone, those of the next seventh from the lowest two, and so on. First fit
 * leaves a heap like that: it cuts up what lies low, so that small holes gather there (Knuth,
 * The Art of Computer Programming vol. 1, 2.5), and a search passes many of them before one
 * fits. (In a heap of 20,000 such objects, after 1,000,000 random replacements by first fit,
 * the mean sizes of the holes were, seventh by seventh of their number, 24, 40, 65, 96, 148,
 * 207, 396; those drawn here are about 24, 36, 56, 90, 149, 252, 435.) In the "fresh" heap the
 * sizes of the holes do not depend on their addresses. First fit is then fast on any list: it
 * looks at a few holes, however many there are, because each of them is likely to be large
 * enough. Both shapes are measured, since each favours one allocator.
 *
 * The operations, measured in nanoseconds:
 *
 *     first, best, worst   an allocation in that style, and the free of that object; the heap
 *                          is then as it was before
 *     lookup               Mem_GetSize of a random byte of a random object
 *     churn                the free of a random object, and an allocation of random size by
 *                          first fit. Churn ages the heap, so the heap is built anew after
 *                          n / 8 of these operations, while the clock is stopped.
 *
 * The allocators take turns, round by round. A round has as many calls as fit into
 * `round_ns`, but at least `least_calls`: a walk of a list of 2,000,000 nodes takes
 * milliseconds.
 */
#include <argp.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fit.h"
#include "mem.h"
#include "textbook.h"

enum {
    NDOUBLINGS = 7,         /* objects and holes have 16 to 2047 bytes */
    NREQUEST_DOUBLINGS = 5, /* requests have 16 to 511 bytes */
    LAST_HOLE_BYTES = 1024,
    CHUNK_COST = 32, /* bytes for rounding, and for a node or a record in libmem's ledger */
    SPARE_BYTES = 1 << 17,
    LEAST_HOLES = 32,
    MOST_CALLS = 1 << 16, /* in a round */
    MOST_ROUNDS = 15,
    CHURN_SHARE = 8 /* a heap is built anew after 1/8 of its objects were replaced */
};

enum shape { AGED, FRESH, NSHAPES };
static const char *const shape_names[NSHAPES] = {"aged", "fresh"};

enum operation { FIRST, BEST, WORST, LOOKUP, CHURN, NOPERATIONS };
static const char *const operation_names[NOPERATIONS] = {"first", "best", "worst", "lookup",
                                                         "churn"};

/* What to measure, from the command line. */
struct plan {
    int nholes[8];
    int nsizes; /* the length of nholes[] */
    bool shapes[NSHAPES];
    uint64_t seed;
    int nrounds;
    int round_ns;
    int least_calls;
    bool selftest;
};

/* The calls of an allocator that are measured, and those that build a heap. */
struct calls {
    const char *name;
    void *(*alloc)(int size, int style);
    int (*free)(void *ptr);
    int (*size_of)(void *ptr);
    int (*count_holes)(int *last_bytes);
    void (*lay_out)(const struct textbook_piece *pieces, int n, void **objects);
};

/* The pieces of a heap when a measurement starts. */
struct layout {
    struct textbook_piece *pieces; /* object, hole, object, ... object */
    int npieces;
    int nholes;
    int region_bytes;
};

/* The heap of one allocator, and its live objects. */
struct heap {
    const struct calls *calls;
    void **objects;
    int *sizes;
    void *plug;
    int nchurned; /* objects replaced since it was laid out */
};

/* The operands of a round: the size of a request, the index of an object, a byte of it. */
struct draws {
    int size[MOST_CALLS];
    int object[MOST_CALLS];
    uint32_t byte[MOST_CALLS];
    void *address[MOST_CALLS];
};

struct result {
    int ncalls; /* in each round */
    double ns[MOST_ROUNDS];
};

static _Noreturn void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("fit: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(EXIT_FAILURE);
}

static void *get_memory(size_t n, size_t nbytes)
{
    void *p = calloc(n, nbytes);
    if (p == NULL)
        die("no memory for the benchmark's own arrays");
    return p;
}

/* ----------------------------------------------------- libmem, and the list */

static int libmem_count_holes(int *last_bytes)
{
    int nholes = 0;
    *last_bytes = 0;
    for (MemNodePtr n = m_free_list; n != NULL; n = n->next) {
        nholes++;
        *last_bytes = n->size;
    }
    return nholes;
}

static void libmem_lay_out(const struct textbook_piece *pieces, int n, void **objects)
{
    void **all = get_memory((size_t)n, sizeof(*all));
    for (int i = 0; i < n; i++) {
        all[i] = Mem_Alloc(pieces[i].size, FIRSTFIT);
        if (all[i] == NULL)
            die("libmem has no room for object %d of %d", i, n);
    }
    for (int i = 0; i < n; i++) {
        if (pieces[i].live)
            *objects++ = all[i];
        else if (Mem_Free(all[i]) != 0)
            die("libmem refuses to free object %d of %d", i, n);
    }
    free(all);
}

static const struct calls libmem = {.name = "libmem",
                                    .alloc = Mem_AllocStyle,
                                    .free = Mem_Free,
                                    .size_of = Mem_GetSize,
                                    .count_holes = libmem_count_holes,
                                    .lay_out = libmem_lay_out};

static struct textbook the_list; /* one for each process, as libmem has one heap */

static void *list_alloc(int size, int style)
{
    return textbook_alloc(&the_list, size, style);
}

static int list_free(void *ptr)
{
    return textbook_free(&the_list, ptr);
}

static int list_size_of(void *ptr)
{
    return textbook_size_of(&the_list, ptr);
}

static int list_count_holes(int *last_bytes)
{
    return textbook_count_holes(&the_list, last_bytes);
}

static void list_lay_out(const struct textbook_piece *pieces, int n, void **objects)
{
    textbook_init(&the_list, the_list.first, (size_t)(the_list.end - (char *)the_list.first));
    textbook_lay_out(&the_list, pieces, n, objects);
}

static const struct calls textbook = {.name = "textbook",
                                      .alloc = list_alloc,
                                      .free = list_free,
                                      .size_of = list_size_of,
                                      .count_holes = list_count_holes,
                                      .lay_out = list_lay_out};

/* Each allocator gets a new region from the system. */
static void init_heaps(int region_bytes)
{
    if (Mem_Init(region_bytes) != 0)
        die("Mem_Init(%d): %s", region_bytes, strerror(errno));
    void *region = mmap(NULL, (size_t)region_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED)
        die("mmap of %d bytes: %s", region_bytes, strerror(errno));
    textbook_init(&the_list, region, (size_t)region_bytes);
}

/* ------------------------------------------------------------------- heaps */

static int draw_size(struct rng *r, int ndoublings)
{
    int least = 16 << rng_below(r, ndoublings);
    return least + rng_below(r, least);
}

static int draw_hole(struct rng *r, enum shape shape, int i, int n)
{
    int nreached = 1 + (int)((long)i * NDOUBLINGS / n);
    return draw_size(r, shape == AGED ? nreached : NDOUBLINGS);
}

static struct layout layout_draw(struct rng *r, enum shape shape, int nholes)
{
    struct layout l = {.npieces = 2 * nholes - 1, .nholes = nholes};
    l.pieces = get_memory((size_t)l.npieces, sizeof(*l.pieces));
    long nbytes = SPARE_BYTES;
    for (int i = 0; i < l.npieces; i++) {
        bool live = i % 2 == 0;
        int size = live ? draw_size(r, NDOUBLINGS) : draw_hole(r, shape, i / 2, nholes);
        l.pieces[i] = (struct textbook_piece){.size = size, .live = live};
        nbytes += size + TEXTBOOK_GRANULE + CHUNK_COST;
    }
    if (nbytes > INT_MAX)
        die("%d holes take %ld bytes: more than Mem_Init can be asked for", nholes, nbytes);
    l.region_bytes = (int)nbytes;
    return l;
}

/* The rest of the region is the largest hole, and worst fit would always choose it. So this
 * allocates all of it except LAST_HOLE_BYTES. */
static void *take_the_rest(const struct calls *c)
{
    int last_bytes;
    c->count_holes(&last_bytes);
    void *plug = NULL;
    if (last_bytes > 2 * LAST_HOLE_BYTES)
        plug = c->alloc(last_bytes - LAST_HOLE_BYTES, WORSTFIT);
    if (plug == NULL)
        die("%s: the rest of the region (%d bytes) cannot be taken", c->name, last_bytes);
    return plug;
}

/* Checks F1. */
static void check_holes(const struct heap *h, const struct layout *l)
{
    int last_bytes;
    int nholes = h->calls->count_holes(&last_bytes);
    if (nholes != l->nholes)
        die("%s has %d holes, not %d", h->calls->name, nholes, l->nholes);
}

static void heap_clear(struct heap *h, int nobjects)
{
    if (h->calls != &libmem || h->plug == NULL)
        return; /* list_lay_out begins with an empty list */
    bool good = h->calls->free(h->plug) == 0;
    for (int i = 0; i < nobjects; i++)
        good &= h->calls->free(h->objects[i]) == 0;
    if (!good)
        die("%s refuses to free its own objects", h->calls->name);
}

static void heap_build(struct heap *h, const struct layout *l)
{
    heap_clear(h, l->nholes);
    h->calls->lay_out(l->pieces, l->npieces, h->objects);
    h->plug = take_the_rest(h->calls);
    for (int i = 0; i < l->nholes; i++)
        h->sizes[i] = l->pieces[2 * i].size;
    h->nchurned = 0;
    check_holes(h, l);
}

static struct heap heap_new(const struct calls *c, const struct layout *l)
{
    struct heap h = {.calls = c};
    h.objects = get_memory((size_t)l->nholes, sizeof(*h.objects));
    h.sizes = get_memory((size_t)l->nholes, sizeof(*h.sizes));
    heap_build(&h, l);
    return h;
}

/* --------------------------------------------------------------- operations */

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void draw(struct draws *d, struct rng *r, int nobjects)
{
    for (int i = 0; i < MOST_CALLS; i++) {
        d->size[i] = draw_size(r, NREQUEST_DOUBLINGS);
        d->object[i] = rng_below(r, nobjects);
        d->byte[i] = rng_next(r);
    }
}

static double time_pairs(struct heap *h, const struct draws *d, int n, int style)
{
    const struct calls *c = h->calls;
    int nrefused = 0;
    double start = now_ns();
    for (int i = 0; i < n; i++) {
        void *p = c->alloc(d->size[i], style);
        nrefused += p == NULL;
        nrefused += c->free(p) != 0;
    }
    double ns = now_ns() - start;
    if (nrefused > 0)
        die("%s: %d calls failed", c->name, nrefused);
    return ns;
}

static double time_lookups(struct heap *h, struct draws *d, int n)
{
    const struct calls *c = h->calls;
    long must = 0;
    for (int i = 0; i < n; i++) {
        int size = h->sizes[d->object[i]];
        d->address[i] = (char *)h->objects[d->object[i]] + d->byte[i] % (uint32_t)size;
        must += size;
    }
    long sum = 0;
    double start = now_ns();
    for (int i = 0; i < n; i++)
        sum += c->size_of(d->address[i]);
    double ns = now_ns() - start;
    if (sum != must)
        die("%s: sizes add up to %ld, not %ld", c->name, sum, must);
    return ns;
}

/* Makes the calls of the operands from .. to - 1. */
static double time_churn(struct heap *h, const struct draws *d, int from, int to)
{
    const struct calls *c = h->calls;
    int nrefused = 0;
    double start = now_ns();
    for (int i = from; i < to; i++) {
        int which = d->object[i];
        nrefused += c->free(h->objects[which]) != 0;
        h->objects[which] = c->alloc(d->size[i], FIRSTFIT);
        nrefused += h->objects[which] == NULL;
    }
    double ns = now_ns() - start;
    for (int i = from; i < to; i++)
        h->sizes[d->object[i]] = d->size[i];
    if (nrefused > 0)
        die("%s: %d calls failed", c->name, nrefused);
    return ns;
}

/* Builds the heap anew after each n / CHURN_SHARE replacements, which is not timed. */
static double time_churn_in_stretches(struct heap *h, const struct draws *d, int n,
                                      const struct layout *l)
{
    int most = l->nholes / CHURN_SHARE;
    double ns = 0;
    for (int done = 0; done < n;) {
        if (h->nchurned >= most)
            heap_build(h, l);
        int stretch = most - h->nchurned < n - done ? most - h->nchurned : n - done;
        ns += time_churn(h, d, done, done + stretch);
        h->nchurned += stretch;
        done += stretch;
    }
    return ns;
}

static double time_calls(struct heap *h, enum operation op, struct draws *d, int n,
                         const struct layout *l)
{
    static const int styles[] = {[FIRST] = FIRSTFIT, [BEST] = BESTFIT, [WORST] = WORSTFIT};
    switch (op) {
    case LOOKUP:
        return time_lookups(h, d, n);
    case CHURN:
        return time_churn_in_stretches(h, d, n, l);
    default:
        return time_pairs(h, d, n, styles[op]);
    }
}

/* ------------------------------------------------------------- measurements */

/* Returns how many calls fill a round. The calls that find this out warm the caches, and are
 * not recorded. */
static int calls_for_a_round(struct heap *h, enum operation op, struct draws *d,
                             const struct layout *l, const struct plan *p)
{
    int n = p->least_calls;
    double ns = time_calls(h, op, d, n, l);
    while (ns < p->round_ns / 8.0 && n < MOST_CALLS / 2) {
        n *= 2;
        ns = time_calls(h, op, d, n, l);
    }
    double fill = n * (p->round_ns / ns);
    if (fill > MOST_CALLS)
        return MOST_CALLS;
    return fill > p->least_calls ? (int)fill : p->least_calls;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_header(void)
{
    puts("heap,operation,holes,allocator,calls,rounds,median_ns,min_ns,max_ns");
}

static void print_result(struct result *r, enum shape shape, enum operation op, int nholes,
                         const char *allocator, int nrounds)
{
    qsort(r->ns, (size_t)nrounds, sizeof(r->ns[0]), compare_doubles);
    printf("%s,%s,%d,%s,%ld,%d,%.1f,%.1f,%.1f\n", shape_names[shape], operation_names[op], nholes,
           allocator, (long)r->ncalls * nrounds, nrounds, r->ns[nrounds / 2], r->ns[0],
           r->ns[nrounds - 1]);
}

/* Measures one operation on both heaps, which take turns. */
static void measure(struct heap heaps[2], enum operation op, struct draws *d, struct rng *r,
                    const struct layout *l, const struct plan *p, enum shape shape)
{
    struct result results[2];
    draw(d, r, l->nholes);
    for (int h = 0; h < 2; h++)
        results[h].ncalls = calls_for_a_round(&heaps[h], op, d, l, p);
    for (int round = 0; round < p->nrounds; round++) {
        draw(d, r, l->nholes);
        for (int h = 0; h < 2; h++) {
            int n = results[h].ncalls;
            results[h].ns[round] = time_calls(&heaps[h], op, d, n, l) / n;
        }
    }
    for (int h = 0; h < 2; h++) {
        if (op != CHURN)
            check_holes(&heaps[h], l); /* the heap is as it was before */
        print_result(&results[h], shape, op, l->nholes, heaps[h].calls->name, p->nrounds);
    }
}

/* Measures all operations on one heap of each allocator. Churn is the last, since it changes
 * the heaps. */
static void measure_heap(const struct plan *p, enum shape shape, int nholes)
{
    static struct draws d;
    struct rng r = {.state = p->seed ^ ((uint64_t)shape << 32) ^ (uint64_t)nholes};
    struct layout l = layout_draw(&r, shape, nholes);
    init_heaps(l.region_bytes);
    struct heap heaps[2] = {heap_new(&libmem, &l), heap_new(&textbook, &l)};
    int last_bytes;
    fprintf(stderr, "fit: %s heap, %d objects, %d holes on m_free_list, %.1f MiB\n",
            shape_names[shape], nholes, libmem_count_holes(&last_bytes),
            l.region_bytes / 1048576.0);
    for (int op = FIRST; op < NOPERATIONS; op++)
        measure(heaps, (enum operation)op, &d, &r, &l, p, shape);
    for (int h = 0; h < 2; h++) {
        free(heaps[h].objects);
        free(heaps[h].sizes);
    }
    free(l.pieces);
}

/* Measures in a child process: F4. Returns whether the child has succeeded. */
static bool measure_in_a_child(const struct plan *p, enum shape shape, int nholes)
{
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        die("fork: %s", strerror(errno));
    if (child == 0) {
        measure_heap(p, shape, nholes);
        exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (WIFSIGNALED(status))
        fprintf(stderr, "fit: signal %d killed the measuring process\n", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

/* -------------------------------------------------------------- command line */

static long parse_number(const char *arg, long least, long most, struct argp_state *state)
{
    char *end;
    errno = 0;
    long n = strtol(arg, &end, 10);
    if (errno != 0 || end == arg || *end != '\0' || n < least || n > most)
        argp_error(state, "%s: give a number from %ld to %ld", arg, least, most);
    return n;
}

static void add_holes(struct plan *p, const char *arg, struct argp_state *state)
{
    if (p->nsizes == (int)(sizeof(p->nholes) / sizeof(p->nholes[0])))
        argp_error(state, "--holes was given more than %d times", p->nsizes);
    p->nholes[p->nsizes++] = (int)parse_number(arg, LEAST_HOLES, 2000000, state);
}

static void add_shape(struct plan *p, const char *arg, struct argp_state *state)
{
    for (int s = 0; s < NSHAPES; s++) {
        if (strcmp(arg, shape_names[s]) == 0) {
            p->shapes[s] = true;
            return;
        }
    }
    argp_error(state, "no such heap: '%s'; give aged or fresh", arg);
}

static void set_quick(struct plan *p)
{
    p->nrounds = 3;
    p->round_ns = 1000 * 1000;
    p->least_calls = 2;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct plan *p = state->input;
    switch (key) {
    case 'n':
        add_holes(p, arg, state);
        return 0;
    case 'H':
        add_shape(p, arg, state);
        return 0;
    case 's':
        p->seed = (uint64_t)parse_number(arg, 0, LONG_MAX, state);
        return 0;
    case 'q':
        set_quick(p);
        return 0;
    case 't':
        p->selftest = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* Adds the defaults: both shapes, and 10^2 to 10^6 holes. */
static void fill_plan(struct plan *p)
{
    if (p->nsizes == 0) {
        for (int n = 100; n <= 1000000; n *= 10)
            p->nholes[p->nsizes++] = n;
    }
    bool any = false;
    for (int s = 0; s < NSHAPES; s++)
        any |= p->shapes[s];
    for (int s = 0; s < NSHAPES; s++)
        p->shapes[s] |= !any;
}

static struct plan parse_command_line(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"holes", 'n', "N", 0,
         "Measure a heap of N holes (default: 100 to 1000000); can be repeated", 0},
        {"heap", 'H', "SHAPE", 0, "Measure only the heap SHAPE, aged or fresh (default: both)", 0},
        {"seed", 's', "S", 0, "Draw the sizes and places with the seed S (default: 1)", 0},
        {"quick", 'q', NULL, 0,
         "Measure few and short rounds, to see whether it runs; the figures are rough", 0},
        {"selftest", 't', NULL, 0, "Only compare the textbook list with a naive model", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Measures what a call costs when the heap has N holes, for libmem and for a "
               "textbook's list. Prints CSV."};
    struct plan p = {.seed = 1, .nrounds = 9, .round_ns = 20 * 1000 * 1000, .least_calls = 5};
    argp_parse(&argp, argc, argv, 0, NULL, &p);
    fill_plan(&p);
    return p;
}

static int run_selftest(uint64_t seed)
{
    int nfailed = fit_selftest(seed);
    if (nfailed == 0)
        printf("selftest: the textbook list agrees with the model (seed %lu)\n",
               (unsigned long)seed);
    else
        printf("selftest: FAILED, %d check%s (seed %lu)\n", nfailed, nfailed == 1 ? "" : "s",
               (unsigned long)seed);
    return nfailed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct plan p = parse_command_line(argc, argv);
    if (p.selftest)
        return run_selftest(p.seed);
    print_header();
    for (int s = 0; s < NSHAPES; s++) {
        for (int i = 0; p.shapes[s] && i < p.nsizes; i++) {
            if (!measure_in_a_child(&p, (enum shape)s, p.nholes[i]))
                die("the measurement with %d holes has failed", p.nholes[i]);
        }
    }
    return EXIT_SUCCESS;
}

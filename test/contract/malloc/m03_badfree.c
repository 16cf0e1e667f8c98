/* SPDX-License-Identifier: MIT
 *
 * Checks that bad frees and reallocs in many random heaps are refused and harm nothing [M3].
 *
 *     LIBMEM=onerror=report m03_badfree HEAPS SEED [MISTAKES]
 *     LIBMEM=onerror=ignore m03_badfree HEAPS SEED [MISTAKES]
 *
 * A random heap is a random history of malloc and free, between objects that the program
 * allocated at its start. Then the program makes one of 14 mistakes with an object of 8 bytes to
 * 1 MiB; or several mistakes, if MISTAKES is not 1, each with an object of its own, between which
 * other objects are freed. Five observations show that a mistake was refused and that nothing else
 * happened:
 *   - Standard error is a pipe: it holds one line, with the call, the address and what is
 *     there, or no line with `ignore`.
 *   - free leaves errno alone; realloc returns NULL and sets errno to EINVAL.
 *   - Each live object has its size and its content.
 *   - Of 200 more objects none overlaps another or a live object. Memory that was wrongly
 *     freed would be handed out, and memory that was freed twice would be handed out twice.
 *   - All objects are then freed. If one of these frees is refused, the next heap finds its
 *     line in the pipe.
 *
 * The start of a live object is a valid pointer, whatever it was before. If a mistake happens to
 * produce one, another mistake is made instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "stamp.h"

enum { NLIVE = 128, NLEFT = 60, NOLD = 64, NNEW = 200, NOTHERS = 20, ERRNO = 77, TEXT_BYTES = 512 };
/* The doublings for rnd_size: objects of up to 1 MiB and of up to 8 KiB. */
enum { DOUBLINGS = 17, SMALLER = 10 };

static struct stamped live[NLIVE], old[NOLD];
static size_t nlive, ndamaged; /* ndamaged: objects that were not whole when they were freed */
static uint64_t seed, next_id = 1;
static int lines; /* The end of the pipe that the program reads. */
static unsigned char global[4096], *mapping;
enum { MAPPING_BYTES = 2 << 20 };

/* --- a random heap ------------------------------------------------------------- */

static void give_up(const char *why)
{
    printf("not ok 1 - %s\n1..1\n", why);
    fflush(stdout);
    _exit(1);
}

static void take(struct stamped *o, size_t n)
{
    *o = (struct stamped){opaque(malloc(n)), n, next_id++ << 32};
    if (o->p == NULL) {
        give_up("malloc returns NULL");
    }
    stamp(o);
}

static struct stamped *push(size_t n)
{
    if (nlive == NLIVE) {
        give_up("too many objects");
    }
    take(&live[nlive], n);
    return &live[nlive++];
}

static bool is_whole(const struct stamped *o)
{
    return malloc_usable_size(o->p) == o->n && is_stamped(o);
}

static void drop(size_t i)
{
    ndamaged += !is_whole(&live[i]);
    free(live[i].p);
    live[i] = live[--nlive];
}

static size_t any_size(void)
{
    return rnd_size(&seed, rnd(&seed, 30) == 0 ? DOUBLINGS : SMALLER);
}

static void churn(size_t ntimes, size_t most)
{
    while (ntimes-- > 0) {
        if (nlive < most && (nlive == 0 || rnd(&seed, 5) < 3)) {
            push(any_size());
        } else {
            drop(rnd(&seed, (uint32_t)nlive));
        }
    }
}

static void make_heap(void)
{
    struct stamped *o = &old[rnd(&seed, NOLD)];
    free(o->p);
    take(o, rnd_size(&seed, SMALLER));
    churn(5 + rnd(&seed, 60), NLEFT);
}

static void drop_until(size_t nleft)
{
    while (nlive > nleft) {
        drop(rnd(&seed, (uint32_t)nlive));
    }
}

static bool begins_one(const struct stamped *o, size_t n, const void *p)
{
    for (size_t i = 0; i < n; i++) {
        if (o[i].p == p) {
            return true;
        }
    }
    return false;
}

/* The heap holds only this program's objects, since the buffer of stdout is a static array. */
static bool is_valid(const void *p)
{
    return begins_one(live, nlive, p) || begins_one(old, NOLD, p);
}

/* --- mistakes -------------------------------------------------------------------- */

struct mistake {
    size_t n;               /* Size of the object that the mistake is made with. */
    unsigned char *address; /* Passed to free or realloc. */
    const char *there;      /* How the line must describe the address. */
    struct stamped *inside; /* If not NULL, the object that contains the address. */
};

static void freed(struct mistake *m)
{
    struct stamped *o = push(m->n);
    m->address = o->p;
    drop((size_t)(o - live));
    m->there = "already free\n";
}

static void freed_and_others(struct mistake *m)
{
    for (int i = 0; i < NOTHERS; i++) {
        push(rnd_size(&seed, SMALLER));
    }
    freed(m);
    for (int i = 0; i < NOTHERS; i++) {
        drop(rnd(&seed, (uint32_t)nlive));
    }
}

static void stale(struct mistake *m)
{
    freed(m);
    churn(1 + rnd(&seed, 20), 100);
    m->there = ""; /* By now the address may be inside another object. */
}

static void at(struct mistake *m, struct stamped *o, size_t offset)
{
    m->inside = o;
    m->address = o->p + offset;
}

static void inside_aligned(struct mistake *m)
{
    size_t n = m->n, ngranules = (n - 1) / 16;
    at(m, push(n), ngranules == 0 ? n / 2 : 16 + 16 * rnd(&seed, (uint32_t)ngranules));
}

static void inside(struct mistake *m)
{
    at(m, push(m->n), 1 + rnd(&seed, (uint32_t)m->n - 1));
}

/* Writes what other allocators would take for the headers of this object and of the next one. The
 * object no longer has the content that its stamp requires, so is_refused compares the header. */
static void inside_behind_header(struct mistake *m)
{
    m->n = m->n < 64 ? 64 : m->n;
    size_t nbytes = 32 + 16 * rnd(&seed, (uint32_t)(m->n - 48) / 16);
    struct stamped *o = push(m->n);
    uint64_t header[] = {0, nbytes | 1}, next[] = {nbytes, 0x21};
    memcpy(o->p, header, sizeof header);
    if (nbytes + sizeof next <= m->n) {
        memcpy(o->p + nbytes, next, sizeof next);
    }
    at(m, o, 16);
}

static void one_past_end(struct mistake *m)
{
    m->address = push(m->n)->p + m->n;
    m->there = "";
}

static void on_stack(struct mistake *m)
{
    m->address = (unsigned char *)&m + rnd(&seed, 4096) - 2048;
    m->there = "not ours";
}

static void in_global(struct mistake *m)
{
    m->address = rnd(&seed, 4) == 0 ? (unsigned char *)stdout : global + rnd(&seed, sizeof global);
    m->there = "not ours";
}

static void in_mapping(struct mistake *m)
{
    size_t offset = rnd(&seed, MAPPING_BYTES);
    m->address = mapping + (rnd(&seed, 2) == 0 ? offset : offset / 4096 * 4096 + 16);
    m->there = "not ours";
}

/* Chooses any address, a non-canonical address, one near NULL, an object's address with one bit
 * changed, or one at some distance from an object. */
static void wild(struct mistake *m)
{
    uintptr_t any = (uintptr_t)rnd(&seed, UINT32_MAX) << 32 | rnd(&seed, UINT32_MAX);
    uintptr_t object = (uintptr_t)push(m->n)->p, far = any >> (28 + rnd(&seed, 32));
    uintptr_t address[] = {any >> 17, any | (uintptr_t)1 << 60, 1 + any % 4095,
                           object ^ (uintptr_t)1 << rnd(&seed, 64),
                           (any & 1) == 0 ? object + far : object - far};
    m->address = (unsigned char *)address[rnd(&seed, 5)];
    m->there = "";
}

/* Uses the address of an object from before realloc moved it. If the object grew in place, the
 * address is valid and the heap is made again. */
static void moved_away(struct mistake *m)
{
    struct stamped *o = push(m->n);
    push(m->n); /* If it lies behind the object, the object has to move. */
    m->address = o->p;
    o->p = opaque(realloc(m->address, 2 * m->n + rnd(&seed, 1000)));
    if (o->p == NULL || !is_stamped(o)) {
        give_up("realloc loses the content");
    }
    o->n = malloc_usable_size(o->p);
    stamp(o);
    m->there = "already free\n";
}

/* --- checks of the outcome ------------------------------------------------------- */

static bool call_free(void *p)
{
    errno = ERRNO;
    free(p);
    return errno == ERRNO;
}

static bool call_realloc(void *p)
{
    errno = 0;
    return opaque(realloc(p, rnd_size(&seed, DOUBLINGS))) == NULL && errno == EINVAL;
}

static struct kind {
    const char *name, *call;
    void (*make)(struct mistake *m);
    bool (*commit)(void *p);
    size_t nmade, nrefused;
} kinds[] = {
    {"double free", "free", freed, call_free, 0, 0},
    {"double free, 20 frees later", "free", freed_and_others, call_free, 0, 0},
    {"stale pointer", "free", stale, call_free, 0, 0},
    {"inside, aligned", "free", inside_aligned, call_free, 0, 0},
    {"inside, any byte", "free", inside, call_free, 0, 0},
    {"inside, behind a forged header", "free", inside_behind_header, call_free, 0, 0},
    {"one past the end", "free", one_past_end, call_free, 0, 0},
    {"stack", "free", on_stack, call_free, 0, 0},
    {"global variable", "free", in_global, call_free, 0, 0},
    {"a mapping of the program", "free", in_mapping, call_free, 0, 0},
    {"wild pointer", "free", wild, call_free, 0, 0},
    {"where it was before realloc", "free", moved_away, call_free, 0, 0},
    {"realloc inside", "realloc", inside, call_realloc, 0, 0},
    {"realloc of what was freed", "realloc", freed, call_realloc, 0, 0},
};
enum { NKINDS = sizeof kinds / sizeof *kinds };

static void expected_line(char *text, const struct kind *k, const struct mistake *m)
{
    int n =
        snprintf(text, TEXT_BYTES, "libmem: %s(0x%" PRIxPTR "): ", k->call, (uintptr_t)m->address);
    if (m->inside != NULL) {
        snprintf(text + n, TEXT_BYTES - (size_t)n,
                 "%zu bytes into the object of %zu bytes at 0x%" PRIxPTR "\n",
                 (size_t)(m->address - m->inside->p), m->inside->n, (uintptr_t)m->inside->p);
    } else {
        snprintf(text + n, TEXT_BYTES - (size_t)n, "%s", m->there);
    }
}

/* Returns true if the pipe holds exactly the expected line, or no line with `ignore`. */
static bool was_said(const struct kind *k, const struct mistake *m, bool silent)
{
    char text[TEXT_BYTES] = "", expected[TEXT_BYTES];
    ssize_t n = read(lines, text, sizeof text - 1);
    if (silent) {
        return n < 0;
    }
    const char *end = strchr(text, '\n');
    expected_line(expected, k, m);
    bool so = n > 0 && end == text + n - 1 && strncmp(text, expected, strlen(expected)) == 0;
    if (!so) {
        printf("# expected %s\n# saw      %s\n", expected, n > 0 ? text : "nothing");
    }
    return so;
}

/* Commits the mistake. A forged header must stay as it was written; is_refused compares it here,
 * since it does not match the object's stamp. */
static bool is_refused(struct kind *k, const struct mistake *m, bool silent)
{
    unsigned char header[64];
    bool forged = k->make == inside_behind_header;
    if (forged) {
        memcpy(header, m->inside->p, sizeof header);
    }
    bool so = k->commit(opaque(m->address));
    so = was_said(k, m, silent) && so;
    if (forged) {
        so = so && memcmp(header, m->inside->p, sizeof header) == 0;
        stamp(m->inside);
    }
    return so;
}

static int by_address(const void *a, const void *b)
{
    const struct stamped *x = *(struct stamped *const *)a, *y = *(struct stamped *const *)b;
    return (x->p > y->p) - (x->p < y->p);
}

static size_t add_all(const struct stamped **all, size_t nall, const struct stamped *o, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        all[nall++] = &o[i];
    }
    return nall;
}

/* Returns true if none of the new and the live objects overlap. */
static bool are_apart(const struct stamped *new)
{
    static const struct stamped *all[NLIVE + NOLD + NNEW];
    size_t n = add_all(all, 0, new, NNEW);
    n = add_all(all, n, live, nlive);
    n = add_all(all, n, old, NOLD);
    qsort(all, n, sizeof *all, by_address);
    for (size_t i = 1; i < n; i++) {
        if (all[i - 1]->p + all[i - 1]->n > all[i]->p) {
            return false;
        }
    }
    return true;
}

/* Allocates 200 more objects, many of them of the size that the mistake was made with, writes to
 * their first and last bytes, and frees them. Returns true if none overlaps another object. */
static bool allocates_apart(size_t n)
{
    static struct stamped new[NNEW];
    size_t nalike = n <= 8192 ? 40 : 2;
    for (size_t i = 0; i < NNEW; i++) {
        size_t size = i < nalike ? n : rnd_size(&seed, 8);
        new[i] = (struct stamped){opaque(malloc(size)), size, 0};
        if (new[i].p == NULL) {
            return false;
        }
        new[i].p[0] = new[i].p[size - 1] = 0xEE;
    }
    bool apart = are_apart(new);
    for (size_t i = 0; i < NNEW; i++) {
        free(new[i].p);
    }
    return apart;
}

static bool are_whole(const struct stamped *o, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_whole(&o[i])) {
            return false;
        }
    }
    return true;
}

/* Makes a mistake with an object of n bytes, or of another size if that is no mistake. */
static void make(struct kind *k, struct mistake *m, size_t n)
{
    for (int i = 0; i < 1000; i++) {
        *m = (struct mistake){.n = n};
        k->make(m);
        if (!is_valid(m->address)) {
            k->nmade++;
            return;
        }
        drop_until(NLEFT);
        n = any_size();
    }
    give_up("a mistake cannot be made");
}

/* Makes one heap and the mistakes, of kinds in turn. On failure it prints what is damaged; the
 * number of the heap and the seed repeat it. */
static bool stays_intact(size_t heap, size_t nmistakes, bool silent)
{
    struct mistake m;
    struct kind *k = kinds;
    size_t nrefused = 0, nbefore = ndamaged;
    make_heap();
    for (size_t i = 0; i < nmistakes; i++) {
        drop_until(NLEFT);
        k = &kinds[(heap + i) % NKINDS];
        make(k, &m, i == 0 ? rnd_size(&seed, DOUBLINGS) : any_size());
        bool refused = is_refused(k, &m, silent);
        k->nrefused += refused;
        nrefused += refused;
    }
    bool whole = heap % 1000 != 0 || are_whole(old, NOLD);
    bool apart = allocates_apart(m.n);
    drop_until(0);
    whole = whole && ndamaged == nbefore;
    if (nrefused < nmistakes || !whole || !apart) {
        printf("# heap %zu, at last %s of %zu bytes: %zu of %zu refused, %s, %s\n", heap, k->name,
               m.n, nrefused, nmistakes, whole ? "whole" : "DAMAGED",
               apart ? "apart" : "NULL OR OVERLAPPING");
    }
    return whole && apart;
}

/* Makes standard error a pipe that the program reads after each call. */
static void listen(void)
{
    int ends[2];
    if (pipe2(ends, O_NONBLOCK) != 0 || dup2(ends[1], STDERR_FILENO) < 0) {
        give_up("no pipe");
    }
    lines = ends[0];
}

int main(int argc, char **argv)
{
    static char buffer[BUFSIZ];
    const char *options = getenv("LIBMEM");
    size_t nheaps = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000, nbroken = 0;
    size_t nmistakes = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
    bool silent = options != NULL && strstr(options, "onerror=ignore") != NULL;
    seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    printf("# badfree %zu %" PRIu64 " %zu\n", nheaps, seed, nmistakes);
    mapping = mmap(NULL, MAPPING_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    seed = seed * 0x9E3779B97F4A7C15u + 1;
    listen();
    size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < NOLD; i++) {
        take(&old[i], rnd_size(&seed, SMALLER));
    }
    for (size_t i = 0; i < nheaps && nbroken < 10; i++) {
        nbroken += !stays_intact(i, nmistakes, silent);
    }
    for (struct kind *k = kinds; k < kinds + NKINDS; k++) {
        printf("# %zu of %zu refused\n", k->nrefused, k->nmade);
        check(k->nmade > 0 && k->nrefused == k->nmade, k->name);
    }
    check(nbroken == 0 && are_whole(old, NOLD), "each heap is intact");
    for (size_t i = 0; i < NOLD; i++) {
        free(old[i].p);
    }
    char line;
    check(read(lines, &line, 1) < 0, "no good free was refused");
    check(mallinfo2().uordblks <= before + (1 << 20), "and all of them took effect");
    return done();
}

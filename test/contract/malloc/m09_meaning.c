/* SPDX-License-Identifier: MIT
 *
 * Checks that mallinfo, mallinfo2, malloc_stats and malloc_info mean what glibc's manual says: what
 * is allocated, freed and trimmed is what they show [M9].
 */
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "tap.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

/* --- one answer ------------------------------------------------------------------ */

/* Returns whether an answer agrees with itself as the manual has it. */
static bool is_whole(const struct mallinfo2 *m)
{
    return m->uordblks + m->fordblks == m->arena && m->fsmblks <= m->fordblks &&
           m->keepcost <= m->fordblks && m->ordblks > 0 && (m->smblks > 0) == (m->fsmblks > 0) &&
           m->hblks == 0 && m->hblkhd == 0 && m->usmblks == 0;
}

static int nasked, nwhole;

static struct mallinfo2 ask(void)
{
    struct mallinfo2 m = mallinfo2();
    nasked++;
    nwhole += is_whole(&m);
    return m;
}

static size_t in_use(void)
{
    return ask().uordblks;
}

static bool is_between(size_t n, size_t low, size_t high)
{
    return n >= low && n <= high;
}

/* --- allocated and freed ----------------------------------------------------------- */

enum { NSMALL = 10000 };
static void *object[NSMALL];

static void small_objects(void)
{
    free(opaque(malloc(100)));
    struct mallinfo2 before = ask();
    for (size_t i = 0; i < NSMALL; i++)
        object[i] = opaque(malloc(100));
    size_t all = in_use() - before.uordblks;
    check(is_between(all, NSMALL * 100, NSMALL * 100 * 9 / 8 + NSMALL * 16),
          "small objects are in use, with an eighth and 16 bytes more at most");
    size_t nright = 0;
    for (size_t i = 0; i < NSMALL; i++) { /* 7919 is prime: in no order */
        free(object[i * 7919 % NSMALL]);
        nright += in_use() == before.uordblks + all - all / NSMALL * (i + 1);
    }
    check(nright == NSMALL, "each counts as free as soon as it is freed, in whatever order");
    check(in_use() == before.uordblks, "and then nothing is in use that was not before");
}

static void large_objects(void)
{
    free(opaque(malloc(10 * MIB)));
    struct mallinfo2 before = ask();
    char *p = opaque(malloc(10 * MIB + 1));
    struct mallinfo2 with = ask();
    check(with.uordblks - before.uordblks == 10 * MIB + 4 * KIB,
          "a large object is in use in whole pages of 4 KiB");
    p = opaque(realloc(p, 9 * MIB));
    check(in_use() - before.uordblks == 9 * MIB, "what it gives up is not");
    free(p);
    struct mallinfo2 after = ask();
    check(after.uordblks == before.uordblks && after.fordblks >= with.fordblks + 10 * MIB,
          "and freed it is free");
}

/* Of objects that lie behind each other every other one is freed, and becomes a free chunk. */
static void chunks_and_slots(void)
{
    enum { N = 20 };
    void *p[2 * N];
    for (int i = 0; i < 2 * N; i++)
        p[i] = opaque(malloc(200 * KIB));
    struct mallinfo2 before = ask();
    for (int i = 0; i < 2 * N; i += 2)
        free(p[i]);
    struct mallinfo2 after = ask();
    check(is_between(after.ordblks - before.ordblks, N - 2, N), "ordblks counts free chunks");
    check(after.smblks == before.smblks && after.fsmblks == before.fsmblks,
          "smblks and fsmblks are not concerned with them");
    for (int i = 1; i < 2 * N; i += 2)
        free(p[i]);
    void *small = opaque(malloc(100));
    before = ask();
    free(small);
    after = ask();
    check(after.smblks == before.smblks + 1 && after.ordblks == before.ordblks &&
              is_between(after.fsmblks - before.fsmblks, 100, 128),
          "but with free slots");
}

/* --- any calls, against a model ------------------------------------------------------ */

/* What one object of this size costs is measured when it is seen for the second time, since the
 * first one may open a span. From then on any number of them must cost as much each. */
static size_t cost_of(size_t nbytes)
{
    static size_t cost[100 * KIB];
    if (cost[nbytes] == 0) {
        void *first = opaque(malloc(nbytes));
        size_t before = in_use();
        void *second = opaque(malloc(nbytes));
        cost[nbytes] = in_use() - before;
        free(second);
        free(first);
    }
    return cost[nbytes];
}

static void any_calls(void)
{
    enum { STEPS = 60000, N = 3000 };
    static struct model {
        void *p;
        size_t cost;
    } live[N];
    uint64_t dice = 11;
    size_t base = in_use(), expected = base, nwrong = 0;
    for (int i = 0; i < STEPS; i++) {
        struct model *m = &live[rnd(&dice, N)];
        if (m->p != NULL) {
            expected -= m->cost;
            free(m->p);
            m->p = NULL;
        } else if (i % 20000 < 15000) {
            size_t nbytes = 1 + rnd(&dice, 20) * rnd(&dice, 20) * rnd(&dice, 200);
            expected += m->cost = cost_of(nbytes);
            m->p = opaque(malloc(nbytes));
        }
        nwrong += in_use() != expected;
    }
    for (int i = 0; i < N; i++)
        free(live[i].p);
    check(nwrong == 0, "after each of many calls exactly what a model says is in use");
    check(in_use() == base, "and nothing at the end");
}

/* --- the system ---------------------------------------------------------------------- */

static size_t of_status(const char *name)
{
    char line[256];
    size_t kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtoul(line + strlen(name) + 1, NULL, 10);
    if (status != NULL)
        fclose(status);
    return kib * KIB;
}

/* Whether memory that goes back to the system is seen to go, which not every emulator shows. */
static bool shows_what_goes_back(void)
{
    enum { NBYTES = 16 * MIB };
    char *p = mmap(NULL, NBYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    memset(p, 1, NBYTES);
    size_t before = resident();
    madvise(p, NBYTES, MADV_DONTNEED);
    bool shown = resident() + NBYTES / 2 < before;
    munmap(p, NBYTES);
    return shown;
}

static void system_memory(void)
{
    struct mallinfo2 m = ask();
    check(m.arena <= of_status("VmData"), "the arena is data of the process, not a reservation");
    void *p = opaque(malloc(100 * MIB));
    size_t grown = ask().arena - m.arena;
    check(is_between(grown, 100 * MIB - m.fordblks, 256 * MIB),
          "it grows when an object has no room in it, by no more than a step");
    free(p);
}

/* So much is live that the library keeps what is freed for now. */
static void trimmed(void)
{
    enum { LIVE = 64 * MIB, N = 8, NBYTES = MIB, SMALL = 200 };
    void *p[N];
    char *live = opaque(malloc(LIVE));
    memset(live, 1, LIVE);
    malloc_trim(0);
    check(ask().keepcost == 0, "after malloc_trim nothing is left to go back");
    for (int i = 0; i < N; i++)
        p[i] = memset(opaque(malloc(NBYTES)), 1, NBYTES);
    for (int i = 0; i < NSMALL; i++)
        object[i] = memset(opaque(malloc(SMALL)), 1, SMALL);
    check(ask().keepcost < MIB, "nor while all is in use");
    for (int i = 0; i < N; i++)
        free(p[i]);
    for (int i = 0; i < NSMALL; i++)
        free(object[i]);
    size_t keepcost = ask().keepcost;
    check(is_between(keepcost, N * NBYTES + NSMALL * SMALL, N * NBYTES + 2 * NSMALL * SMALL),
          "keepcost is what was freed since, in chunks and in slots");
    size_t before = resident();
    check(malloc_trim(0) == 1 && ask().keepcost == 0, "malloc_trim gives it back");
    size_t after = resident();
    /* Or more, by the rest of a huge page of which not all was in use (src/core/huge.h). */
    enum { HUGE_PAGE = 2 * MIB };
    printf("# %zu of %zu bytes\n", before - after, keepcost);
    if (shows_what_goes_back())
        check(is_between(before - after, keepcost / 10 * 9, keepcost / 10 * 11 + HUGE_PAGE),
              "and that many bytes are resident no longer");
    free(live);
}

/* --- the other three ----------------------------------------------------------------- */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static void as_int(void)
{
    struct mallinfo2 m = ask();
    struct mallinfo i = mallinfo();
    check((size_t)i.arena == m.arena && (size_t)i.ordblks == m.ordblks &&
              (size_t)i.smblks == m.smblks && (size_t)i.fsmblks == m.fsmblks &&
              (size_t)i.uordblks == m.uordblks && (size_t)i.fordblks == m.fordblks &&
              (size_t)i.keepcost == m.keepcost,
          "mallinfo says what mallinfo2 says");
    void *p = opaque(malloc(hide((size_t)INT_MAX + MIB)));
    if (p == NULL) {
        check(true, "a number that is no int # SKIP there is no memory for it");
        return;
    }
    i = mallinfo();
    check(i.uordblks == INT_MAX && i.arena == INT_MAX && i.fordblks >= 0,
          "a number that is no int is INT_MAX");
    free(p);
}
#pragma GCC diagnostic pop

/* Reads what a stream that was written to holds. */
static void read_back(FILE *stream, char *text, size_t n)
{
    rewind(stream);
    text[fread(text, 1, n - 1, stream)] = '\0';
    fclose(stream);
}

static size_t number_after(const char *text, const char *what)
{
    const char *at = strstr(text, what);
    return at == NULL ? SIZE_MAX : strtoul(at + strlen(what), NULL, 10);
}

/* Adds up a number of all lines <size ...>. */
static size_t sum_of_sizes(const char *text, const char *what)
{
    size_t sum = 0;
    for (const char *at = text; (at = strstr(at, "<size ")) != NULL; at++)
        sum += number_after(at, what);
    return sum;
}

static void as_xml(void)
{
    static char text[64 * KIB];
    FILE *stream = tmpfile();
    setvbuf(stream, NULL, _IONBF, 0); /* a buffer would be an object more */
    void *kept = opaque(malloc(1));
    free(opaque(malloc(1))); /* so that the smallest size has a free slot */
    struct mallinfo2 m = ask();
    check(malloc_info(0, stream) == 0, "malloc_info succeeds");
    read_back(stream, text, sizeof text);
    const char *all = strstr(text, "</heap>");
    check(strncmp(text, "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n", 41) == 0 &&
              all != NULL && strcmp(text + strlen(text) - 10, "</malloc>\n") == 0,
          "it writes the elements that glibc writes");
    check(strstr(text, "<size from=\"1\" to=\"16\" total=") != NULL,
          "the smallest size begins with 1 byte");
    free(kept);
    size_t fast = number_after(text, "<total type=\"fast\" count=\"");
    check(fast == m.smblks && sum_of_sizes(text, "count=\"") == fast,
          "free slots count as fast, and in each size");
    size_t rest = number_after(all, "<total type=\"rest\" count=\"");
    check(rest == m.ordblks, "free chunks as rest");
    check(number_after(all, "<system type=\"current\" size=\"") == m.arena &&
              number_after(all, "<total type=\"mmap\" count=\"") == 0 &&
              number_after(all, "<system type=\"max\" size=\"") >= m.arena,
          "what comes from the system is the arena");
    check(number_after(all, "<aspace type=\"mprotect\" size=\"") >= m.arena &&
              number_after(all, "<aspace type=\"total\" size=\"") >=
                  number_after(all, "<aspace type=\"mprotect\" size=\""),
          "of the address space a part is open, and of that a part is the arena");
}

static void as_lines(void)
{
    char text[KIB], expected[KIB];
    int saved = dup(STDERR_FILENO);
    FILE *stream = tmpfile();
    fflush(stderr);
    dup2(fileno(stream), STDERR_FILENO);
    struct mallinfo2 m = ask();
    malloc_stats();
    dup2(saved, STDERR_FILENO);
    close(saved);
    read_back(stream, text, sizeof text);
    snprintf(expected, sizeof expected,
             "Arena 0:\nsystem bytes     = %10zu\nin use bytes     = %10zu\n"
             "Total (incl. mmap):\nsystem bytes     = %10zu\nin use bytes     = %10zu\n"
             "max mmap regions = %10d\nmax mmap bytes   = %10d\n",
             m.arena, m.uordblks, m.arena, m.uordblks, 0, 0);
    check(strcmp(text, expected) == 0, "malloc_stats writes glibc's lines");
}

int main(void)
{
    static char buffer[KIB];
    setvbuf(stdout, buffer, _IOLBF, sizeof buffer); /* else it would become an object, too */
    small_objects();
    large_objects();
    chunks_and_slots();
    any_calls();
    system_memory();
    trimmed();
    as_int();
    as_xml();
    as_lines();
    check(nasked > 60000 && nwhole == nasked,
          "whatever was asked, what is in use and what is free was the arena");
    return done();
}

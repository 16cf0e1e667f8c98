/* SPDX-License-Identifier: MIT
 *
 * Checks that free, realloc and malloc_usable_size refuse bad pointers [M3]: each kind of
 * mistake, with objects of 8 bytes to 1 MiB, in a heap that a random program is using.
 *
 * LIBMEM decides what is expected:
 *
 *     LIBMEM=onerror=report   one correct line, and nothing has changed
 *     LIBMEM=onerror=ignore   no line, and nothing has changed
 *     no LIBMEM               one correct line, and SIGABRT at the call
 */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tap.h"

enum { NLIVE = 300, CHURN = 200, NOTHERS = 20, TEXT_BYTES = 400 };

static uint64_t seed = 3;
static int stderr_file;
static char global[4096];

/* --- a heap at work --------------------------------------------------------- */

static struct live {
    unsigned char *p;
    size_t n;
} live[NLIVE];

static unsigned char fill_of(const struct live *o)
{
    return (unsigned char)(o - live + 1);
}

static void give(struct live *o)
{
    free(o->p);
    o->p = NULL;
}

static void take(struct live *o, size_t n)
{
    give(o);
    o->n = n;
    o->p = opaque(malloc(n));
    memset(o->p, fill_of(o), n);
}

static struct live *any(void)
{
    return &live[rnd(&seed, NLIVE)];
}

static void churn(size_t ntimes)
{
    while (ntimes-- > 0) {
        if (rnd(&seed, 3) == 0) {
            give(any());
        } else {
            take(any(), rnd(&seed, 2u << rnd(&seed, 14)));
        }
    }
}

static bool begins_an_object(const void *p)
{
    for (int i = 0; i < NLIVE; i++) {
        if (live[i].p == p) {
            return true;
        }
    }
    return false;
}

static bool is_intact(void)
{
    for (int i = 0; i < NLIVE; i++) {
        const struct live *o = &live[i];
        if (o->p != NULL &&
            (!all_are(o->p, fill_of(o), o->n) || malloc_usable_size(o->p) != o->n)) {
            return false;
        }
    }
    return true;
}

/* --- mistakes --------------------------------------------------------------- */

struct mistake {
    unsigned char *address;
    char expected[TEXT_BYTES]; /* The line must contain it. */
};

static void expect(struct mistake *m, const char *text)
{
    snprintf(m->expected, sizeof m->expected, "%s", text);
}

static void expect_inside(struct mistake *m, const struct live *o)
{
    snprintf(m->expected, sizeof m->expected,
             "%zu bytes into the object of %zu bytes at 0x%" PRIxPTR "\n",
             (size_t)(m->address - o->p), o->n, (uintptr_t)o->p);
}

static struct live *fresh(size_t n)
{
    struct live *o = any();
    take(o, n);
    return o;
}

static void freed(struct mistake *m, size_t n)
{
    struct live *o = fresh(n);
    m->address = o->p;
    give(o);
    expect(m, "already free\n");
}

static void freed_and_others(struct mistake *m, size_t n)
{
    freed(m, n);
    for (int i = 0; i < NOTHERS; i++) {
        give(any());
    }
}

static void stale(struct mistake *m, size_t n)
{
    freed(m, n);
    do {
        churn(30);
    } while (begins_an_object(m->address)); /* A start of an object would be a valid pointer. */
    expect(m, "");
}

static void inside_aligned(struct mistake *m, size_t n)
{
    struct live *o = fresh(n);
    size_t ngranules = (n - 1) / 16;
    m->address = o->p + (ngranules == 0 ? n / 2 : 16 + 16 * rnd(&seed, (uint32_t)ngranules));
    expect_inside(m, o);
}

static void inside(struct mistake *m, size_t n)
{
    struct live *o = fresh(n);
    m->address = o->p + 1 + rnd(&seed, (uint32_t)n - 1);
    expect_inside(m, o);
}

/* Writes what other allocators would take for the header of an object of 32 bytes. */
static void inside_behind_header(struct mistake *m, size_t n)
{
    static const uint64_t header[] = {0, 0x21, 0, 0, 0, 0x21};
    struct live *o = fresh(n);
    if (n <= sizeof header) {
        inside_aligned(m, n);
        return;
    }
    memcpy(o->p, header, sizeof header);
    m->address = o->p + 16;
    expect_inside(m, o);
}

static void one_past_end(struct mistake *m, size_t n)
{
    do {
        struct live *o = fresh(n);
        m->address = o->p + o->n;
        churn(1);
    } while (begins_an_object(m->address)); /* A start of an object would be a valid pointer. */
    expect(m, "");
}

static void on_stack(struct mistake *m, size_t n)
{
    m->address = (unsigned char *)m + n % sizeof *m / 16 * 16;
    expect(m, "not ours");
}

static void in_global(struct mistake *m, size_t n)
{
    m->address = (unsigned char *)global + n % sizeof global;
    expect(m, "not ours");
}

static void in_mapping(struct mistake *m, size_t n)
{
    static unsigned char *mapping;
    if (mapping == NULL) {
        mapping = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    m->address = mapping + n;
    expect(m, "not ours");
}

static void wild(struct mistake *m, size_t n)
{
    uintptr_t high = (uintptr_t)rnd(&seed, UINT32_MAX) << 32;
    m->address = (unsigned char *)((high | (uintptr_t)1 << 60) + n);
    expect(m, "not ours");
}

/* Uses the address of an object from before realloc moved it. */
static void moved_away(struct mistake *m, size_t n)
{
    struct live *o = fresh(n);
    do {
        /* Sooner or later it lies behind the object, which then cannot grow in place. */
        fresh(n);
        m->address = o->p;
        o->n += n + 100;
        o->p = opaque(realloc(opaque(o->p), o->n));
        memset(o->p, fill_of(o), o->n);
    } while (begins_an_object(m->address));
    expect(m, "already free\n");
}

/* --- checks of the outcome ----------------------------------------------------- */

static bool call_free(void *p)
{
    errno = 77;
    free(p);
    return errno == 77;
}

static bool call_realloc(void *p)
{
    errno = 0;
    return opaque(realloc(p, 1 + rnd(&seed, 10000))) == NULL && errno == EINVAL;
}

static bool call_reallocarray(void *p)
{
    errno = 0;
    return opaque(reallocarray(p, 3, 1 + rnd(&seed, 10000))) == NULL && errno == EINVAL;
}

static bool call_realloc_to_nothing(void *p)
{
    return opaque(realloc(p, 0)) == NULL;
}

static bool call_usable_size(void *p)
{
    return malloc_usable_size(p) == 0;
}

static const struct kind {
    const char *name, *call;
    void (*make)(struct mistake *m, size_t n);
    bool (*commit)(void *p);
} kinds[] = {
    {"free of what is free", "free", freed, call_free},
    {"free of what was freed 20 frees ago", "free", freed_and_others, call_free},
    {"free of a stale pointer", "free", stale, call_free},
    {"free inside, aligned", "free", inside_aligned, call_free},
    {"free inside, anywhere", "free", inside, call_free},
    {"free inside, behind a forged header", "free", inside_behind_header, call_free},
    {"free of one past the end", "free", one_past_end, call_free},
    {"free of the stack", "free", on_stack, call_free},
    {"free of a global variable", "free", in_global, call_free},
    {"free of a mapping of the program", "free", in_mapping, call_free},
    {"free of a wild pointer", "free", wild, call_free},
    {"free of what realloc has moved", "free", moved_away, call_free},
    {"realloc inside", "realloc", inside, call_realloc},
    {"realloc of what is free", "realloc", freed, call_realloc},
    {"realloc of one past the end", "realloc", one_past_end, call_realloc},
    {"realloc of the stack", "realloc", on_stack, call_realloc},
    {"realloc to nothing of what is free", "realloc", freed, call_realloc_to_nothing},
    {"reallocarray inside", "reallocarray", inside_aligned, call_reallocarray},
    {"malloc_usable_size inside", "malloc_usable_size", inside, call_usable_size},
    {"malloc_usable_size of what is free", "malloc_usable_size", freed, call_usable_size},
    {"malloc_usable_size of a mapping", "malloc_usable_size", in_mapping, call_usable_size},
};

static void forget_stderr(void)
{
    lseek(stderr_file, 0, SEEK_SET);
    if (ftruncate(stderr_file, 0) != 0) {
        abort();
    }
}

/* Returns true if exactly one line was written and it says what is expected. */
static bool was_reported(const struct kind *k, const struct mistake *m)
{
    char text[TEXT_BYTES] = "", start[TEXT_BYTES];
    snprintf(start, sizeof start, "libmem: %s(0x%" PRIxPTR "): ", k->call, (uintptr_t)m->address);
    ssize_t n = pread(stderr_file, text, sizeof text - 1, 0);
    const char *end = strchr(text, '\n');
    /* An emulator may write lines of its own behind it. */
    bool so = n > 0 && end != NULL && strstr(end, "libmem") == NULL &&
              strncmp(text, start, strlen(start)) == 0 && strstr(text, m->expected) != NULL;
    if (!so) {
        printf("# expected %s... %s\n# saw %s\n", start, m->expected, text);
    }
    return so;
}

static bool was_silent(void)
{
    return lseek(stderr_file, 0, SEEK_END) == 0;
}

static bool is_refused(const struct kind *k, const struct mistake *m, bool silent)
{
    struct mallinfo2 before = mallinfo2();
    bool result = k->commit(opaque(m->address));
    struct mallinfo2 after = mallinfo2();
    bool said = silent ? was_silent() : was_reported(k, m);
    return result && said && memcmp(&before, &after, sizeof before) == 0;
}

static bool is_aborted(const struct kind *k, const struct mistake *m)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        k->commit(opaque(m->address));
        _exit(0);
    }
    return waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGABRT && was_reported(k, m);
}

static bool as_expected(const struct kind *k, size_t n, const char *onerror)
{
    struct mistake m = {0};
    churn(CHURN);
    k->make(&m, n);
    forget_stderr();
    return onerror == NULL ? is_aborted(k, &m)
                           : is_refused(k, &m, strstr(onerror, "=ignore") != NULL);
}

int main(void)
{
    const char *libmem = getenv("LIBMEM");
    const char *onerror = libmem == NULL ? NULL : strstr(libmem, "onerror=");
    /* A static buffer keeps stdio's own object out of the heap: one past the end of an object
     * might be its start. */
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    size_t ntimes = onerror == NULL ? 1 : 5;
    stderr_file = memfd_create("stderr", 0);
    dup2(stderr_file, STDERR_FILENO);
    churn(2000);
    for (const struct kind *k = kinds; k < kinds + sizeof kinds / sizeof *kinds; k++) {
        size_t nwrong = 0;
        for (size_t size = 8; size <= 1 << 20; size *= share() > 1 ? 4 : 2) {
            for (size_t i = 0; i < ntimes; i++) {
                nwrong +=
                    !as_expected(k, i == 0 ? size : size + rnd(&seed, (uint32_t)size), onerror);
            }
        }
        check(nwrong == 0, k->name);
    }
    check(is_intact(), "all other objects are whole");
    return done();
}

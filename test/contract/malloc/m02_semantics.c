/* SPDX-License-Identifier: MIT
 *
 * Checks what programs depend on in glibc's malloc [M2], one property at a time, and that memory
 * goes back to the system [M6].
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "tap.h"

#define MIB ((size_t)1 << 20)

/* They are looked up at run time, since glibc has none to link with: cfree was removed, and the
 * others are new in C23. */
static void (*cfree)(void *);
static void (*free_sized)(void *, size_t);
static void (*free_aligned_sized)(void *, size_t, size_t);

static void find_missing(void)
{
    *(void **)&cfree = dlsym(RTLD_DEFAULT, "cfree");
    *(void **)&free_sized = dlsym(RTLD_DEFAULT, "free_sized");
    *(void **)&free_aligned_sized = dlsym(RTLD_DEFAULT, "free_aligned_sized");
}

static size_t in_use(void)
{
    return mallinfo2().uordblks;
}

/* Returns true if p is NULL and errno is ENOMEM. */
static bool out_of_memory(void *p)
{
    bool so = opaque(p) == NULL && errno == ENOMEM;
    errno = 0;
    return so;
}

static void malloc_itself(void)
{
    void *a = opaque(malloc(0)), *b = opaque(malloc(0));
    check(a != NULL && b != NULL, "malloc(0) is not NULL");
    check(a != b, "malloc(0) is unique");
    check(is_multiple(a, 16) && is_multiple(b, 16), "malloc(0) is aligned");
    check(malloc_usable_size(a) == 0, "malloc(0) has no byte");
    free(a);
    free(b);
    bool aligned = true;
    for (size_t n = 1; n <= 4096; n++) {
        void *p = opaque(malloc(n));
        aligned = aligned && is_multiple(p, 16) && malloc_usable_size(p) >= n;
        free(p);
    }
    check(aligned, "malloc of 1 to 4096 bytes is 16-byte aligned and large enough");
    errno = 0;
    check(out_of_memory(malloc(hide((size_t)PTRDIFF_MAX + 1))), "malloc above PTRDIFF_MAX: ENOMEM");
    check(out_of_memory(malloc(hide(SIZE_MAX))), "malloc(SIZE_MAX): ENOMEM");
    check(out_of_memory(malloc(hide(PTRDIFF_MAX))), "malloc(PTRDIFF_MAX): ENOMEM");
    errno = 77;
    a = opaque(malloc(100));
    check(errno == 77, "a malloc that succeeds leaves errno alone");
    free(a);
    check(errno == 77, "so does free");
}

static void objects_are_apart(void)
{
    enum { N = 500, ROUNDS = 20000 };
    static struct {
        unsigned char *p;
        size_t n;
    } object[N];
    uint64_t seed = 1;
    bool intact = true;
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t at = rnd(&seed, N);
        if (object[at].p != NULL) {
            intact = intact && all_are(object[at].p, (unsigned char)at, object[at].n);
            free(object[at].p);
        }
        object[at].n = rnd(&seed, 1u << rnd(&seed, 17));
        object[at].p = opaque(malloc(object[at].n));
        memset(object[at].p, (int)at, object[at].n);
    }
    for (int i = 0; i < N; i++) {
        free(object[i].p);
    }
    check(intact, "20000 objects of random sizes keep what was written to them");
}

static bool calloc_after_dirt(size_t n)
{
    void *dirty = opaque(malloc(n));
    memset(dirty, 0xA5, n);
    free(dirty);
    void *clean = opaque(calloc(1, n));
    bool zero = all_are(clean, 0, n);
    free(clean);
    return zero;
}

static void calloc_itself(void)
{
    bool zero = true;
    for (size_t n = 1; n < 3000; n += 7) {
        zero = zero && calloc_after_dirt(n);
    }
    check(zero, "calloc of small sizes is zero where others wrote");
    void *shift = opaque(malloc(48)); /* Shifts the next objects so that none begins with a page. */
    check(calloc_after_dirt(9 * MIB + 12345), "calloc of a large size, too");
    check(calloc_after_dirt(MIB) && calloc_after_dirt(MIB + 1), "and of 1 MiB, more and less");
    free(shift);
    errno = 0;
    check(out_of_memory(calloc(hide(SIZE_MAX / 2), 3)), "calloc that overflows: ENOMEM");
    check(out_of_memory(calloc(hide((size_t)1 << 32), (size_t)1 << 32)),
          "calloc that overflows to 0: ENOMEM");
    check(out_of_memory(calloc(1, hide((size_t)PTRDIFF_MAX + 1))),
          "calloc above PTRDIFF_MAX: ENOMEM");
    void *a = opaque(calloc(0, 8)), *b = opaque(calloc(8, 0));
    check(a != NULL && b != NULL && a != b, "calloc of no byte is unique");
    free(a);
    free(b);
    size_t before = resident();
    a = opaque(calloc(200, MIB));
    check(a != NULL && resident() < before + 20 * MIB, "calloc of 200 MiB does not touch them");
    free(a);
}

static void realloc_itself(void)
{
    unsigned char *p = opaque(realloc(NULL, 100));
    check(p != NULL && malloc_usable_size(p) >= 100, "realloc(NULL, n) is malloc");
    memset(p, 1, 100);
    check(opaque(realloc(p, 100)) == p, "realloc to the same size moves nothing");
    check(opaque(realloc(p, 40)) == p && all_are(p, 1, 40), "realloc to less moves nothing");
    size_t before = in_use();
    errno = 77;
    check(opaque(realloc(p, 0)) == NULL && errno == 77, "realloc(p, 0) is NULL");
    check(in_use() + 40 <= before, "and frees");

    p = opaque(malloc(0));
    p = opaque(realloc(p, 10));
    check(p != NULL && malloc_usable_size(p) >= 10, "realloc of an object without a byte");
    errno = 0;
    memset(p, 3, 10);
    check(out_of_memory(realloc(p, hide((size_t)PTRDIFF_MAX + 1))),
          "realloc above PTRDIFF_MAX: ENOMEM");
    check(out_of_memory(realloc(p, hide(PTRDIFF_MAX))), "realloc to more than there is: ENOMEM");
    bool refused = true;
    for (size_t less = 0; less < 300; less++)
        for (size_t n = 0; n < 600; n += 11) {
            unsigned char *q = opaque(malloc(n));
            refused = refused && out_of_memory(realloc(q, hide(SIZE_MAX - less))) &&
                      malloc_usable_size(q) == n;
            free(q);
        }
    check(refused, "realloc near SIZE_MAX: ENOMEM, and nothing changes");
    check(all_are(p, 3, 10) && malloc_usable_size(p) == 10, "and the object is untouched");
    free(p);
}

static void realloc_moves(void)
{
    unsigned char *p = opaque(malloc(1000)), *wall = opaque(malloc(1000));
    memset(p, 5, 1000);
    unsigned char *q = opaque(realloc(p, 100000));
    check(q != NULL && all_are(q, 5, 1000), "realloc that must move keeps the content");
    free(q);
    free(wall);
    bool kept = true;
    p = NULL;
    size_t n = 0;
    for (size_t more = 1; n < 32 * MIB; more += more / 3 + 1) {
        p = opaque(realloc(p, n + more));
        memset(p + n, (int)(n % 251), more);
        kept = kept && p[0] == 0 && (n == 0 || p[n - 1] != p[n] || n % 251 == p[n - 1]);
        n += more;
    }
    for (size_t at = 0, more = 1; at < n; at += more, more += more / 3 + 1) {
        kept = kept && all_are(p + at, (unsigned char)(at % 251), more);
    }
    check(kept, "an object that grows to 32 MiB keeps its content");
    kept = true;
    for (; n > 1; n /= 2) {
        unsigned char last = p[n - 1];
        p = opaque(realloc(p, n));
        kept = kept && p[0] == 0 && p[n - 1] == last;
    }
    check(kept, "and keeps what fits when it shrinks, wherever it then lies [M6]");
    free(p);
}

static void realloc_in_place(void)
{
    unsigned char *p = opaque(malloc(8 * MIB));
    unsigned char *behind = opaque(malloc(8 * MIB)), *wall = opaque(malloc(16));
    bool adjacent = behind == p + 8 * MIB;
    free(behind);
    check(!adjacent || opaque(realloc(p, 12 * MIB)) == p, "realloc grows where there is room");
    free(p);
    free(wall);
}

static void realloc_of_aligned(void)
{
    bool kept = true;
    for (size_t align = 16; align <= (1 << 20); align *= 2) {
        unsigned char *p = opaque(memalign(align, 300));
        memset(p, 9, 300);
        uintptr_t before = (uintptr_t)p;
        p = opaque(realloc(p, 290)); /* So small a change needs no move. */
        kept = kept && (uintptr_t)p == before && all_are(p, 9, 290);
        p = opaque(realloc(p, 50));
        kept = kept && is_multiple(p, 16) && all_are(p, 9, 50);
        p = opaque(realloc(p, 50000));
        kept = kept && is_multiple(p, 16) && all_are(p, 9, 50);
        free(p);
    }
    check(kept, "realloc of aligned objects: a little less stays, more keeps the content");
}

static void reallocarray_itself(void)
{
    unsigned char *p = opaque(reallocarray(NULL, 10, 10));
    check(p != NULL && malloc_usable_size(p) >= 100, "reallocarray multiplies");
    memset(p, 4, 100);
    errno = 0;
    check(out_of_memory(reallocarray(opaque(p), hide(SIZE_MAX / 2), 3)),
          "reallocarray overflow: ENOMEM");
    check(all_are(p, 4, 100) && malloc_usable_size(p) == 100, "and the object is untouched");
    check(opaque(reallocarray(opaque(p), 0, 8)) == NULL, "reallocarray to no byte frees");
}

static void freeing(void)
{
    size_t before = in_use();
    errno = 77;
    free(NULL);
    cfree(NULL);
    free_sized(NULL, 0);
    free_aligned_sized(NULL, 16, 0);
    check(errno == 77 && in_use() == before, "free(NULL) does nothing");
    cfree(opaque(malloc(100)));
    check(in_use() == before, "cfree frees");
    free_sized(opaque(malloc(100)), 100);
    check(in_use() == before, "free_sized frees");
    free_aligned_sized(opaque(aligned_alloc(64, 128)), 64, 128);
    check(in_use() == before, "free_aligned_sized frees");
}

static void posix_memalign_itself(void)
{
    static char none;
    void *p = &none;
    bool aligned = true;
    errno = 77;
    for (size_t align = sizeof(void *); align <= (size_t)1 << 24; align *= 2) {
        for (size_t n = 0; n < 5000; n += 1234) {
            aligned = aligned && posix_memalign(&p, align, n) == 0 && is_multiple(p, align) &&
                      malloc_usable_size(p) >= n;
            memset(p, 1, n);
            free(p);
        }
    }
    check(aligned, "posix_memalign at 2^3 to 2^24");
    aligned = posix_memalign(&p, (size_t)1 << 30, 100) == 0 && is_multiple(p, (size_t)1 << 30);
    check(aligned, "posix_memalign at 2^30");
    free(p);
    p = &none;
    check(posix_memalign(&p, hide(0), 8) == EINVAL, "posix_memalign at 0: EINVAL");
    check(posix_memalign(&p, hide(4), 8) == EINVAL, "at less than a pointer: EINVAL");
    check(posix_memalign(&p, hide(24), 8) == EINVAL, "at 24: EINVAL");
    check(posix_memalign(&p, 16, hide(SIZE_MAX)) == ENOMEM, "too large: ENOMEM");
    check(posix_memalign(&p, 64, hide(PTRDIFF_MAX)) == ENOMEM, "more than there is: ENOMEM");
    check(posix_memalign(&p, hide((size_t)1 << 62), 8) == ENOMEM, "at 2^62: ENOMEM");
    check(errno == 77, "posix_memalign leaves errno alone");
    check(p == &none, "and, failing, the result");
}

static void other_alignments(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *p = opaque(aligned_alloc(256, 100));
    check(is_multiple(p, 256), "aligned_alloc is aligned, whatever the size");
    free(p);
    errno = 0;
    check(opaque(aligned_alloc(hide(48), 96)) == NULL && errno == EINVAL,
          "aligned_alloc at no power of two: EINVAL");
    check(out_of_memory(aligned_alloc(64, hide(SIZE_MAX))), "aligned_alloc too large: ENOMEM");
    p = opaque(memalign(hide(24), 10));
    check(is_multiple(p, 32), "memalign rounds up to a power of two");
    free(p);
    p = opaque(memalign(hide(0), 10));
    check(is_multiple(p, 16), "memalign at 0 is malloc");
    free(p);
    errno = 0;
    check(opaque(memalign(hide(SIZE_MAX), 10)) == NULL && errno == EINVAL,
          "memalign at SIZE_MAX: EINVAL");
    p = opaque(valloc(10));
    check(is_multiple(p, page), "valloc is at a page");
    free(p);
    p = opaque(pvalloc(10));
    check(is_multiple(p, page) && malloc_usable_size(p) >= page, "pvalloc is whole pages");
    free(p);
    errno = 0;
    check(out_of_memory(valloc(hide(SIZE_MAX))), "valloc too large: ENOMEM");
    check(out_of_memory(pvalloc(hide(SIZE_MAX))), "pvalloc that overflows: ENOMEM");
}

static void aligned_among_others(void)
{
    enum { N = 2000 };
    static void *object[N];
    size_t before = in_use();
    uint64_t seed = 2;
    bool aligned = true;
    for (int i = 0; i < N; i++) {
        size_t align = (size_t)16 << rnd(&seed, 12);
        object[i] = opaque(memalign(align, rnd(&seed, 5000)));
        aligned = aligned && is_multiple(object[i], align);
        if (rnd(&seed, 3) == 0) {
            free(object[i / 2]);
            object[i / 2] = NULL;
        }
    }
    for (int i = 0; i < N; i++) {
        free(object[i]);
    }
    check(aligned && in_use() == before, "2000 objects at random alignments come and go");
}

/* Most slots of large size have no pages. Each of these calls must reuse the slot that was freed
 * last, which has some. */
static void used_again(void)
{
    void *first[3] = {NULL}, *p[3];
    size_t nmoved = 0;
    for (int i = 0; i < 30; i++) {
        p[0] = opaque(calloc(1, 20000));
        p[1] = opaque(realloc(opaque(malloc(30)), 30000));
        p[2] = opaque(memalign(64, 40000));
        for (int k = 0; k < 3; k++) {
            nmoved += i > 0 && p[k] != first[k];
            first[k] = p[k];
            free(p[k]);
        }
    }
    check(nmoved == 0, "calloc, realloc and memalign take what was freed last");
}

static void asking(void)
{
    check(malloc_usable_size(NULL) == 0, "malloc_usable_size(NULL) is 0");
    struct mallinfo2 before = mallinfo2();
    void *p = opaque(malloc(1000));
    struct mallinfo2 after = mallinfo2();
    check(after.uordblks >= before.uordblks + 1000, "mallinfo2 counts what is in use");
    check(after.fordblks < before.fordblks, "and what is not");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    check((size_t)mallinfo().uordblks == after.uordblks, "mallinfo says the same");
#pragma GCC diagnostic pop
    free(p);
    check(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1, "mallopt accepts parameters of glibc");
    static char text[64 << 10];
    FILE *stream = tmpfile();
    bool written = malloc_info(0, stream) == 0;
    rewind(stream);
    written = written && fread(text, 1, sizeof text - 1, stream) > 0;
    fclose(stream);
    check(written && strncmp(text, "<malloc version", 15) == 0 && strstr(text, "</malloc>"),
          "malloc_info writes XML");
    check(malloc_info(1, stdout) == EINVAL, "malloc_info with flags: EINVAL");
}

/* Allocates n objects of nbytes, writes to all of them, and frees them in address order, except
 * each keep-th. Returns how many bytes are resident then, and frees the rest. */
static size_t resident_after(size_t nbytes, size_t n, size_t keep)
{
    unsigned char **object = malloc(n * sizeof *object);
    for (size_t i = 0; i < n; i++) {
        object[i] = opaque(malloc(nbytes));
        memset(object[i], 1, nbytes);
    }
    for (size_t i = 0; i < n; i++) {
        if (i % keep != 0) {
            free(object[i]);
        }
    }
    size_t then = resident();
    for (size_t i = 0; i < n; i += keep) {
        free(object[i]);
    }
    free(object);
    return then;
}

/* Gives the heap time to earn the right to give memory back: a heap that shrinks again and again
 * has to wait (trim.h, TR2). */
static void earn_credit(void)
{
    enum { SECONDS = 2 };
    malloc_trim(0);
    sleep(SECONDS);
}

static void giving_back(void)
{
    earn_credit();
    size_t before = resident();
    check(resident_after(64 * MIB, 4, 100) < before + 100 * MIB, "M6 large objects go back");
    earn_credit();
    check(resident_after(1000, 200000, 50000) < before + 100 * MIB,
          "M6 what small ones leave goes back");
    earn_credit();
    check(resident_after(4 * MIB, 50, 5) < before + 130 * MIB, "M6 and holes between live ones");
    unsigned char *p = opaque(malloc(12 * MIB)), *q = opaque(malloc(100000));
    memset(p, 1, 12 * MIB);
    memset(q, 2, 100000);
    free(p);
    check(malloc_trim(0) == 1, "malloc_trim says that there was something");
    check(resident() < before + 8 * MIB, "malloc_trim gives back a hole");
    check(all_are(q, 2, 100000), "and leaves what is live");
    free(q);
}

int main(void)
{
    find_missing();
    malloc_itself();
    objects_are_apart();
    calloc_itself();
    realloc_itself();
    realloc_moves();
    realloc_in_place();
    realloc_of_aligned();
    reallocarray_itself();
    freeing();
    posix_memalign_itself();
    other_alignments();
    aligned_among_others();
    used_again();
    asking();
    giving_back();
    return done();
}

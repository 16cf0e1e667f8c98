/* SPDX-License-Identifier: MIT
 *
 * Checks that large objects get huge pages where the system has them, also where one of them ends
 * and the next one begins, and so does what a large heap grows by; that what goes back does not get
 * them again, in whole or in part; that a smaller heap grows by them, too, where small pages are
 * slow; and that objects that are never written to, and zeros of calloc that are never read, take
 * no memory [M6].
 *
 * The library asks for no huge pages for a while after one was slow, and cannot know whether that
 * was the system or another program that ran meanwhile; so the test tries a few times.
 */
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

enum { MIB = 1 << 20, OBJECT = 32 * MIB };

/* Returns a field of /proc/self/smaps_rollup in KiB, or -1 if there is none. */
static long smaps_kib(const char *field)
{
    char line[128];
    long kib = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            sscanf(line + strlen(field), ": %ld", &kib);
    if (file != NULL)
        fclose(file);
    return kib;
}

/* Returns how much a mapping that asks for huge pages gets of them, in KiB. They go back to the
 * system, which then has such pages at hand. */
static long offered_kib(void)
{
    long before = smaps_kib("AnonHugePages");
    void *map = mmap(NULL, OBJECT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || madvise(map, OBJECT, MADV_HUGEPAGE) != 0)
        return 0;
    memset(map, 1, OBJECT);
    long after = smaps_kib("AnonHugePages");
    munmap(map, OBJECT);
    return after - before;
}

/* Returns the least time that one of a few new pages takes, in nanoseconds. */
static long small_page_ns(void)
{
    enum { NPAGES = 64, PAGE = 4096 };
    char *p = mmap(NULL, NPAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long least = LONG_MAX;
    for (int i = 0; p != MAP_FAILED && i < NPAGES; i++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        ((volatile char *)p)[i * PAGE] = 1;
        clock_gettime(CLOCK_MONOTONIC, &to);
        long took = (to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec;
        least = took < least ? took : least;
    }
    munmap(p, NPAGES * PAGE);
    return least;
}

/* Which of two rules holds (src/core/huge.h). On a system near the limit either is right. */
enum { FAST_NS = 3000, SLOW_NS = 8000 };
static bool are_fast, are_slow;

/* n objects of nbytes side by side, all of them written. */
static char *object[16];
static void take_objects(int n, size_t nbytes)
{
    for (int i = 0; i < n; i++) {
        object[i] = malloc(nbytes);
        memset(object[i], 1, nbytes);
    }
}

static void free_objects(int n)
{
    for (int i = 0; i < n; i++)
        free(object[i]);
    malloc_trim(0);
}

/* Returns whether `least` bytes of such objects have huge pages, once in a few attempts. */
static bool have_huge_pages(int n, size_t nbytes, size_t least)
{
    enum { ATTEMPTS = 5, PAUSE_US = 200000 };
    bool have = false;
    for (int i = 0; i < ATTEMPTS && !have; i++) {
        if (i > 0) {
            free_objects(n);
            usleep((useconds_t)PAUSE_US << i);
            offered_kib();
        }
        take_objects(n, nbytes);
        have = smaps_kib("AnonHugePages") >= (long)(least / 1024);
    }
    return have;
}

static void test_large_object(void)
{
    check(have_huge_pages(1, OBJECT, OBJECT - 4 * MIB), "a large object has huge pages");
    free_objects(1);
    check(smaps_kib("AnonHugePages") < 2 * MIB / 1024, "they go back when it is freed");

    /* Objects that lie where the large one was, a few in each 2 MiB. */
    enum { N = OBJECT / (64 << 10), ALL = 8 };
    static char *small[N];
    long before = smaps_kib("Rss");
    for (int i = 0; i < N; i++)
        small[i] = malloc(100 << 10);
    for (int i = 0; i < N; i += ALL)
        small[i][0] = 1;
    if (are_fast) {
        check(smaps_kib("AnonHugePages") < 2 * MIB / 1024, "smaller objects there get none");
        check(smaps_kib("Rss") - before < 4 * MIB / 1024, "and take what is written of them");
    }
    for (int i = 0; i < N; i++)
        free(small[i]);
}

/* Returns whether the mapping in which p lies asks for huge pages. */
static bool asks(const void *p)
{
    char line[256];
    bool is_in = false, does = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        uintptr_t begin, end;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2)
            is_in = (uintptr_t)p >= begin && (uintptr_t)p < end;
        else if (is_in && strncmp(line, "VmFlags:", 8) == 0)
            does = strstr(line, " hg") != NULL;
    }
    if (file != NULL)
        fclose(file);
    return does;
}

/* The system would make a huge page whole again of which a part went back, and the free part of it
 * would be resident. */
static void test_parts(void)
{
    enum { LESS = 20 * MIB, SIZE = 2 * MIB };
    have_huge_pages(1, OBJECT, OBJECT - 4 * MIB);
    char *p = object[0];
    size_t nbytes = LESS - (uintptr_t)p % SIZE + SIZE / 2; /* it ends in the middle of one */
    p = object[0] = realloc(p, nbytes);
    malloc_trim(0);
    check(asks(p + nbytes / 2) && !asks(p + nbytes - 1),
          "a huge page that goes back in part asks no longer");
    free_objects(1);
}

/* Objects of three megabytes side by side: a huge page of two lies wholly in one of them, or in two
 * neighbours. The lowest object may begin within one, and the highest end within another. */
static void test_neighbours(void)
{
    enum { N = 12, NBYTES = 3 * MIB, SIZE = 2 * MIB };
    check(have_huge_pages(N, NBYTES, N * NBYTES - 2 * SIZE),
          "large objects side by side have huge pages throughout");
    free_objects(N);
}

/* A huge page may stay that was slow to come; but one in a pause at most. */
static void test_unwritten(void)
{
    enum { N = 16, NBYTES = 8 * MIB, PAUSE_US = 7000 };
    long before = smaps_kib("Rss");
    for (int i = 0; i < N; i++) {
        object[i] = malloc(NBYTES);
        usleep(PAUSE_US); /* so that another page may be timed */
    }
    check(smaps_kib("Rss") - before < N * NBYTES / 1024 / 8,
          "objects that are never written to take no memory");
    free_objects(N);
}

static void test_zeros(void)
{
    long before = smaps_kib("Rss");
    char *zeros = calloc(1, 4 * OBJECT);
    for (size_t at = 0; at < 4 * OBJECT; at += MIB)
        zeros[at] = 1;
    check(smaps_kib("Rss") - before < 4 * MIB / 1024, "zeros that are never read take no memory");
    free(zeros);
}

/* Small objects, first in a heap that is nearly large, then in one that has become large: 512 MiB.
 * Most of it is one object that is never written to, and the huge page in which that ends is asked
 * for: one such page may be. Where small pages are slow, each heap beyond 32 MiB grows by huge
 * ones. */
static void test_growth(void)
{
    enum { ATTEMPTS = 5, PAUSE_US = 200000, NBYTES = 1000, N = 32 * MIB / NBYTES };
    static void *small[ATTEMPTS + 1][N];
    const long MOST_OF_IT = N * NBYTES / 1024 / 2;
    long huge = 0;
    char *most = malloc((size_t)400 * MIB);
    long before = smaps_kib("AnonHugePages");
    for (int i = 0; i <= ATTEMPTS && huge < MOST_OF_IT; i++) {
        for (int j = 0; j < N; j++)
            small[i][j] = memset(malloc(NBYTES), 1, NBYTES);
        huge = smaps_kib("AnonHugePages") - before;
        if (i == 0) {
            if (are_fast)
                check(huge < 4 * MIB / 1024, "a heap of less than 512 MiB grows by small pages");
            else if (are_slow)
                check(huge >= MOST_OF_IT, "where small pages are slow, it grows by huge ones");
            most = realloc(most, (size_t)600 * MIB);
        } else {
            usleep((useconds_t)PAUSE_US << i);
        }
        offered_kib();
        before = smaps_kib("AnonHugePages");
    }
    if (are_fast)
        check(huge >= MOST_OF_IT, "a larger one by huge pages");
    free(most);
    for (int i = 0; i <= ATTEMPTS; i++)
        for (int j = 0; j < N; j++)
            free(small[i][j]);
}

int main(void)
{
    long ns = small_page_ns();
    are_fast = ns < FAST_NS;
    are_slow = ns > SLOW_NS;
    printf("# a small page takes %ld ns\n", ns);
    test_zeros();
    test_unwritten();
    if (offered_kib() >= OBJECT / 1024 / 2)
        test_neighbours(), test_large_object(), test_parts(), test_growth();
    else
        puts("# SKIP the system has no huge pages for this process");
    return done();
}

/* SPDX-License-Identifier: MIT
 *
 * damaged.c COUNT SEED FILE... - damages core files and snapshots at random, COUNT times, and looks
 * into each with the code of the tool [T5]. Prints TAP.
 *
 * It fails if the tool crashes (a signal ends this program, after a line with the seed), if one
 * file takes longer than ten seconds, or if the memory that was taken exceeds what the files have.
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heaps.h"
#include "heaps/header.h"

#include "command.h"

static uint64_t state;

static uint64_t random_word(void)
{
    state += 0x9E3779B97F4A7C15;
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
}

static size_t below(size_t n)
{
    return (size_t)(random_word() % n);
}

/* --- the file ---------------------------------------------------------------------------- */

static unsigned char *original, *bytes; /* one as it was read, the other as it was damaged */
static size_t original_bytes, nbytes;
static int fd = -1;

static void load(const char *path)
{
    struct stat s;
    int from = open(path, O_RDONLY);
    if (from < 0 || fstat(from, &s) != 0)
        err(2, "%s", path);
    original_bytes = (size_t)s.st_size;
    original = malloc(original_bytes);
    bytes = malloc(original_bytes);
    if (original == NULL || bytes == NULL ||
        read(from, original, original_bytes) != (ssize_t)original_bytes)
        err(2, "%s", path);
    memcpy(bytes, original, original_bytes);
    nbytes = original_bytes;
    close(from);
}

/* Offsets at which the file has what matters most: addresses of regions, which stand in each struct
 * heap, and headers of heaps, whose checksum is right. */
enum { NHOT = 256 };
static size_t hot[NHOT], nhot, headers[NHOT], nheaders;

static void find_hot(const struct heaps *hs)
{
    nhot = nheaders = 0;
    for (size_t at = 0; at + sizeof(mem_heap) <= nbytes; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof word);
        for (size_t i = 0; i < hs->n && nhot < NHOT; i++)
            if (word == hs->views[i].base)
                hot[nhot++] = at;
        const mem_heap *m = (const mem_heap *)(const void *)(bytes + at);
        if (at % HEAP_ALIGN == 0 && nheaders < NHOT && header_is_whole(m) && m->extras == 0)
            headers[nheaders++] = at;
    }
}

/* Changes a field of a header, and makes its checksum right again. */
static void forge(void)
{
    enum { FIRST = offsetof(mem_heap, nbytes), END = offsetof(mem_heap, live_bytes) };
    mem_heap *m = (mem_heap *)(void *)(bytes + headers[below(nheaders)]);
    uint64_t word = random_word() >> below(64);
    size_t width = (size_t)1 << below(4);
    memcpy((unsigned char *)m + FIRST + below((END - FIRST) / width) * width, &word, width);
    m->extras = 0;
    header_make_anew(m, &(struct mem_options){.flags = 0});
}

/* An offset: near what matters most, in the headers of the file, at a word that is not 0, or
 * anywhere. */
static size_t place(void)
{
    enum { TRIES = 200, HEAD = 4096, NEAR = 512 };
    if (nhot > 0 && below(3) == 0) {
        size_t at = hot[below(nhot)] + below(NEAR);
        return at >= NEAR / 4 && at - NEAR / 4 < nbytes ? at - NEAR / 4 : 0;
    }
    if (below(4) == 0)
        return below(nbytes < HEAD ? nbytes : HEAD);
    for (int i = 0; i < TRIES; i++) {
        size_t at = below(nbytes);
        if (bytes[at] != 0)
            return at;
    }
    return below(nbytes);
}

/* A number that is likely to be taken for something. */
static uint64_t number(void)
{
    static const uint64_t some[] = {0,        1,       UINT64_MAX,       UINT32_MAX,
                                    1u << 31, 1 << 16, UINT64_C(1) << 36};
    uint64_t word = 0;
    switch (below(4)) {
    case 0:
        return some[below(sizeof some / sizeof *some)];
    case 1:
        return random_word() >> below(64);
    default:
        memcpy(&word, bytes + below(nbytes - 8) / 8 * 8, sizeof word);
        return word + below(33) - 16;
    }
}

static void damage_once(void)
{
    uint64_t word = number();
    size_t at = place(), width = (size_t)1 << below(4);
    switch (below(9)) {
    case 8:
        if (nheaders > 0 && nbytes == original_bytes)
            forge();
        break;
    case 0:
    case 1:
        bytes[at] ^= (unsigned char)(1 << below(8));
        break;
    case 2:
        if (below(8) == 0)
            nbytes = at + 16 < nbytes ? at + 16 : nbytes;
        break;
    case 3: { /* a piece of it is copied elsewhere */
        size_t n = below(300), to = place();
        if (at + n <= nbytes && to + n <= nbytes)
            memmove(bytes + to, bytes + at, n);
        break;
    }
    default:
        at = at / width * width;
        if (at + width <= nbytes)
            memcpy(bytes + at, &word, width);
    }
}

static void damage(void)
{
    size_t n = 1 + below(below(8) == 0 ? 100 : 6);
    nbytes = original_bytes;
    memcpy(bytes, original, nbytes);
    for (size_t i = 0; i < n && nbytes > 64; i++)
        damage_once();
    if (fd >= 0)
        close(fd);
    fd = memfd_create("damaged", 0);
    if (fd < 0 || write(fd, bytes, nbytes) != (ssize_t)nbytes)
        err(2, "memfd_create");
}

/* --- looking ------------------------------------------------------------------------------ */

static bool count(const struct target_piece *p, void *context)
{
    size_t *n = context;
    if (p->nbytes == 0 || p->size > p->nbytes)
        abort();
    ++*n;
    return true;
}

static bool is_damaged;

/* Looks at everything. Returns whether the file has heaps, and counts those that can be read. */
static bool look(const char *path, size_t *nread)
{
    struct look l;
    size_t npieces = 0, nextents;
    struct extent *extents = NULL;
    if (!look_open(&l, path))
        return false;
    if (!is_damaged)
        find_hot(&l.heaps);
    for (size_t i = 0; i < l.heaps.n; i++) {
        const struct view *v = &l.heaps.views[i];
        struct target_piece p;
        (void)view_walk(v, count, &npieces);
        *nread += v->fault == NULL;
        if (v->fault == NULL)
            (void)check_fault_locked(&v->heap, &(struct recount){0});
        for (int k = 0; k < 50 && v->nbytes > 0; k++)
            (void)view_find(v, v->base + below(v->nbytes), &p);
        (void)view_find(v, number(), &p);
        (void)heaps_view_of(&l.heaps, number());
    }
    (void)heaps_resident(&l.heaps, l.t, &extents, &nextents);
    free(extents);
    look_close(&l);
    return true;
}

static uint64_t seed;

static void crashed(int number)
{
    char text[100];
    int n =
        snprintf(text, sizeof text, "# signal %d at seed %llu\n", number, (unsigned long long)seed);
    (void)!write(STDOUT_FILENO, text, (size_t)n);
    signal(number, SIG_DFL);
    raise(number);
}

int main(int argc, char **argv)
{
    enum { PATIENCE = 10 };
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGALRM, SIGFPE};
    unsigned long long nfiles = argc > 3 ? strtoull(argv[1], NULL, 10) : 0;
    char path[64];
    size_t nopened = 0, nread = 0, most = 0;
    if (nfiles == 0)
        errx(2, "usage: damaged COUNT SEED FILE...");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        signal(numbers[i], crashed);
    if (freopen("/dev/null", "w", stderr) == NULL)
        return 2;
    printf("1..%d\n", 3 * (argc - 3));
    for (int f = 3; f < argc; f++) {
        load(argv[f]);
        most = original_bytes > most ? original_bytes : most;
        size_t nsound = 0;
        is_damaged = false;
        bool is_read = look(argv[f], &nsound) && nsound > 0;
        is_damaged = true;
        printf("%s %d - %s is read before it is damaged\n", is_read ? "ok" : "not ok",
               3 * (f - 3) + 1, argv[f]);
        for (unsigned long long i = 0; i < nfiles; i++) {
            seed = state = strtoull(argv[2], NULL, 10) + i;
            damage();
            snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
            alarm(PATIENCE);
            nopened += look(path, &nread);
        }
        alarm(0);
        struct rusage r;
        getrusage(RUSAGE_SELF, &r);
        size_t memory = (size_t)r.ru_maxrss << 10, allowed = ((size_t)32 << 20) + 8 * most;
        const char *base = strrchr(argv[f], '/');
        base = base == NULL ? argv[f] : base + 1;
        printf("%s %d - %s: %llu damaged files; so far %zu had heaps, of which %zu could be read\n",
               nread > nopened ? "ok" : "not ok", 3 * (f - 3) + 2, base, nfiles, nopened, nread);
        printf("%s %d - %s: at most %zu MiB of memory for a file of %zu KiB\n",
               memory <= allowed ? "ok" : "not ok", 3 * (f - 3) + 3, base, memory >> 20,
               original_bytes >> 10);
        free(original);
        free(bytes);
    }
    return 0;
}

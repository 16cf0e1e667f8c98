/* SPDX-License-Identifier: MIT
 *
 * damaged.c COUNT SEED FILE... - damages core files and snapshots at random (damage.h), COUNT times,
 * and looks into each with the code of the tool, and with each of its commands [T5]. Prints TAP.
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

#include "damage.h"
#include "every.h"
#include "heaps.h"

#include "command.h"

/* --- the file ---------------------------------------------------------------------------- */

static unsigned char *original; /* the file as it was read; `file` is what it was made of it */
static size_t original_bytes;
static struct damage file;
static int fd = -1;

static void load(const char *path)
{
    struct stat s;
    int from = open(path, O_RDONLY);
    if (from < 0 || fstat(from, &s) != 0)
        err(2, "%s", path);
    original_bytes = (size_t)s.st_size;
    original = malloc(original_bytes);
    file = (struct damage){.bytes = malloc(original_bytes), .nbytes = original_bytes};
    if (original == NULL || file.bytes == NULL ||
        read(from, original, original_bytes) != (ssize_t)original_bytes)
        err(2, "%s", path);
    memcpy(file.bytes, original, original_bytes);
    damage_find_headers(&file);
    close(from);
}

/* What matters most is where the file has addresses of regions, which stand in each struct heap. */
static void find_hot(const struct heaps *hs)
{
    file.nhot = 0;
    for (size_t at = 0; at + sizeof(uint64_t) <= file.nbytes; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, file.bytes + at, sizeof word);
        for (size_t i = 0; i < hs->n && file.nhot < NHOT; i++)
            if (word == hs->views[i].base)
                file.hot[file.nhot++] = at;
    }
}

static void damage(void)
{
    size_t n = 1 + damage_below(&file, damage_below(&file, 8) == 0 ? 100 : 6);
    file.nbytes = original_bytes;
    memcpy(file.bytes, original, original_bytes);
    for (size_t i = 0; i < n && file.nbytes > 64; i++)
        damage_once(&file);
    if (fd >= 0)
        close(fd);
    fd = memfd_create("damaged", 0);
    if (fd < 0 || write(fd, file.bytes, file.nbytes) != (ssize_t)file.nbytes)
        err(2, "memfd_create");
}

/* --- looking ------------------------------------------------------------------------------ */

static uint64_t some_object; /* the address of one of those that were seen, each as likely */
static size_t npieces;

static bool count(const struct target_piece *p, void *context)
{
    (void)context;
    if (p->nbytes == 0 || p->size > p->nbytes)
        abort();
    if (damage_below(&file, ++npieces) == 0)
        some_object = p->start;
    return true;
}

static bool is_damaged;

/* Looks at everything. Returns whether the file has heaps, and counts those that can be read. */
static bool look(const char *path, size_t *nread)
{
    struct look l;
    size_t nextents;
    struct extent *extents = NULL;
    if (!look_open(&l, path))
        return false;
    npieces = 0;
    if (!is_damaged)
        find_hot(&l.heaps);
    for (size_t i = 0; i < l.heaps.n; i++) {
        const struct view *v = &l.heaps.views[i];
        struct target_piece p;
        (void)view_walk(v, count, NULL);
        *nread += v->fault == NULL;
        if (v->fault == NULL)
            (void)check_fault_locked(&v->heap, &(struct recount){0});
        for (int k = 0; k < 50 && v->nbytes > 0; k++)
            (void)view_find(v, v->base + damage_below(&file, v->nbytes), &p);
        (void)view_find(v, damage_number(&file), &p);
        (void)heaps_view_of(&l.heaps, damage_number(&file));
    }
    (void)heaps_resident(&l.heaps, l.t, &extents, &nextents);
    free(extents);
    look_close(&l);
    look_with_every_command(path, some_object, (unsigned)damage_random(&file));
    return true;
}

static uint64_t seed;
static int report; /* standard output, as it was: the commands write to what has become of it */

static void crashed(int number)
{
    char text[100];
    int n =
        snprintf(text, sizeof text, "# signal %d at seed %llu\n", number, (unsigned long long)seed);
    (void)!write(report, text, (size_t)n);
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
    report = dup(STDOUT_FILENO);
    FILE *tap = fdopen(report, "w");
    if (tap == NULL || freopen("/dev/null", "w", stderr) == NULL ||
        freopen("/dev/null", "w", stdout) == NULL)
        return 2;
    setvbuf(tap, NULL, _IOLBF, 0);
    fprintf(tap, "1..%d\n", 3 * (argc - 3));
    for (int f = 3; f < argc; f++) {
        load(argv[f]);
        most = original_bytes > most ? original_bytes : most;
        size_t nsound = 0;
        is_damaged = false;
        bool is_read = look(argv[f], &nsound) && nsound > 0;
        is_damaged = true;
        fprintf(tap, "%s %d - %s is read before it is damaged\n", is_read ? "ok" : "not ok",
                3 * (f - 3) + 1, argv[f]);
        for (unsigned long long i = 0; i < nfiles; i++) {
            seed = file.state = strtoull(argv[2], NULL, 10) + i;
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
        fprintf(
            tap,
            "%s %d - %s: %llu damaged files; so far %zu had heaps, of which %zu could be read\n",
            nread > nopened ? "ok" : "not ok", 3 * (f - 3) + 2, base, nfiles, nopened, nread);
        fprintf(tap, "%s %d - %s: at most %zu MiB of memory for a file of %zu KiB\n",
                memory <= allowed ? "ok" : "not ok", 3 * (f - 3) + 3, base, memory >> 20,
                original_bytes >> 10);
        free(original);
        free(file.bytes);
    }
    return 0;
}

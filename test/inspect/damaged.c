/* SPDX-License-Identifier: MIT
 *
 * damaged.c COUNT SEED FILE... - damages core files and snapshots at random (damage.h), COUNT
 * times, and looks into each with the code of the tool, and with each of its commands [T5]. Prints
 * TAP.
 *
 * It fails if the tool crashes (a signal ends this program, after a line with the seed), if one
 * file takes ten seconds of processor time, or if the memory that was taken exceeds what the files
 * have.
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
#include <sys/time.h>
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
static void find_hot(const char *path)
{
    struct look l;
    file.nhot = 0;
    if (!look_open(&l, path))
        return;
    const struct heaps *hs = &l.heaps;
    for (size_t at = 0; at + sizeof(uint64_t) <= file.nbytes; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, file.bytes + at, sizeof word);
        for (size_t i = 0; i < hs->n && file.nhot < NHOT; i++)
            if (word == hs->views[i].base)
                file.hot[file.nhot++] = at;
    }
    look_close(&l);
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

/* Ends the program by SIGPROF after some seconds of work; 0: no longer. */
static void limit_time(int seconds)
{
    struct itimerval limit = {.it_value.tv_sec = seconds};
    setitimer(ITIMER_PROF, &limit, NULL);
}

int main(int argc, char **argv)
{
    enum { PATIENCE = 10 };
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGPROF, SIGFPE};
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
        find_hot(argv[f]);
        bool is_read = look_in_every_way(argv[f], &file, &nsound) && nsound > 0;
        fprintf(tap, "%s %d - %s is read before it is damaged\n", is_read ? "ok" : "not ok",
                3 * (f - 3) + 1, argv[f]);
        for (unsigned long long i = 0; i < nfiles; i++) {
            seed = file.state = strtoull(argv[2], NULL, 10) + i;
            damage();
            snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
            limit_time(PATIENCE);
            nopened += look_in_every_way(path, &file, &nread);
        }
        limit_time(0);
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

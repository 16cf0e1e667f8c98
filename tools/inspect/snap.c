/* SPDX-License-Identifier: MIT
 *
 * snap.c - mem snap: writes a snapshot of a process, or a series of them.
 */
#include <argp.h>
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compress.h"
#include "events.h"
#include "graph.h"
#include "heaps.h"
#include "series.h"
#include "snapshot.h"
#include "source.h"

#include "command.h"

static struct options {
    const char *target, *file;
    bool has_payload, is_compressed;
    unsigned long every; /* seconds; 0: one snapshot */
} options;

static const struct argp_option argp_options[] = {
    {"output", 'o', "FILE", 0, "Write to FILE (mem.PID.snap; with -z, mem.PID.snap.zst)", 0},
    {"payload", 'p', NULL, 0,
     "Write also what the objects hold, and all other memory that the program can write to, which "
     "`mem leaks' and `mem refs' need. The process is stopped until all of it is copied",
     0},
    {"compress", 'z', NULL, 0, "Compress the file (zstd); all commands read it as it is", 0},
    {"every", 'e', "TIME", 0,
     "Write a series, one snapshot each TIME (90, 90s, 5m, 1h), until the process ends or executes "
     "another program: FILE.1, FILE.2, ...",
     0},
    {0}};

static unsigned long seconds(const char *text, struct argp_state *state)
{
    static const char units[] = "smh";
    static const unsigned long unit_seconds[] = {1, 60, 3600};
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    const char *unit = *end == '\0' ? units : strchr(units, *end);
    bool is_number = isdigit((unsigned char)*text) && errno == 0 && n > 0 && n < INT_MAX / 3600;
    if (!is_number || unit == NULL || (*end != '\0' && end[1] != '\0'))
        argp_error(state, "%s: give a time, such as 60s or 5m", text);
    return n * unit_seconds[unit - units];
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == 'o')
        options.file = arg;
    else if (key == 'p')
        options.has_payload = true;
    else if (key == 'z' && can_compress())
        options.is_compressed = true;
    else if (key == 'z')
        argp_error(state, "this mem was built without libzstd");
    else if (key == 'e')
        options.every = seconds(arg, state);
    else if (key == ARGP_KEY_ARG && options.target == NULL)
        options.target = arg;
    else if (key == ARGP_KEY_ARG)
        argp_error(state, "%s: one process is enough", arg);
    else if (key == ARGP_KEY_NO_ARGS)
        argp_error(state, "no process: give its id");
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .args_doc = "PID",
    .doc =
        "Writes a snapshot of a process's heaps: a core file that holds only what the other "
        "commands need. gdb reads it, too. The process is stopped for as long as its heap's "
        "metadata are copied, and never changed. With a core file instead of PID, that is cut "
        "down to a snapshot."
        "\vThe exit status is 0 if the snapshot was written, 2 if not; with --every, 2 also if a "
        "later one was not.\n"};

/* Reads what can be read of [at, end), so that it is kept. */
static void read_extent(struct target *t, uint64_t at, uint64_t end)
{
    enum { PIECE = 1 << 22 };
    static unsigned char bytes[PIECE];
    while (at < end) {
        size_t wanted = end - at < PIECE ? (size_t)(end - at) : PIECE;
        size_t got = target_read_some(t, at, bytes, wanted);
        at = got < wanted ? target_next(t, at + got, end) : at + got;
    }
}

/* Lists the pages that may hold pointers, in address order. Returns false if nothing says which of
 * them are in memory: then all are listed. */
static bool find_filled(struct target *t, struct extent **list, size_t *n)
{
    bool is_known = true;
    for (size_t i = 0; i < target_nmappings(t); i++) {
        struct mapping m = target_mappings(t)[i];
        if (graph_is_root(t, i) && !target_filled(t, m.start, m.end, list, n))
            is_known = false;
    }
    return is_known;
}

/* Reads the history, if there is one, so that it is kept. */
static void read_history(struct target *t)
{
    struct events e;
    (void)events_open(&e, t);
    events_close(&e);
}

/* Opens a new file beside the one that it replaces in the end: no reader sees half of it. What is
 * not a regular file is not replaced: a device, a pipe, or a link to a file that others read. */
static int open_beside(const char *path, char *temporary, size_t nbytes)
{
    struct stat s;
    if (lstat(path, &s) == 0 && !S_ISREG(s.st_mode)) {
        warnx("%s: that is no regular file, and a snapshot would replace it: name another file",
              path);
        return -1;
    }
    int n = snprintf(temporary, nbytes, "%s.XXXXXX", path);
    int fd = n < 0 || (size_t)n >= nbytes ? -1 : mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        warn("%s", path);
    return fd;
}

/* Writes the snapshot to a file, compressed if that was asked for. */
static bool write_to(struct target *t, const struct extent *resident, size_t nresident, int fd)
{
    if (!options.is_compressed)
        return snapshot_write(t, resident, nresident, fd);
    FILE *f = tmpfile();
    bool ok = f != NULL && snapshot_write(t, resident, nresident, fileno(f)) &&
              lseek(fileno(f), 0, SEEK_SET) == 0 && compress_file(fileno(f), fd);
    if (f != NULL)
        fclose(f);
    return ok;
}

static char unfinished[PATH_MAX]; /* the file beside the one that is written */

static void remove_unfinished(int number)
{
    unlink(unfinished);
    signal(number, SIG_DFL);
    raise(number);
}

/* Whether a signal ends a process that has not said otherwise. */
static bool is_ending(int number)
{
    static const int others[] = {SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP,
                                 SIGTTIN, SIGTTOU, SIGURG,  SIGWINCH};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (number == others[i])
            return false;
    return true;
}

/* A signal that ends mem leaves no unfinished file behind, except SIGKILL. A signal that is ignored
 * or has a handler keeps that. */
static void catch_signals(void)
{
    struct sigaction was;
    for (int number = 1; number <= SIGRTMAX; number++)
        if (is_ending(number) && sigaction(number, NULL, &was) == 0 && was.sa_handler == SIG_DFL)
            signal(number, remove_unfinished);
}

static bool write_file(struct target *t, const struct extent *resident, size_t nresident,
                       const char *path)
{
    int fd = open_beside(path, unfinished, sizeof unfinished);
    if (fd < 0)
        return false;
    bool ok = write_to(t, resident, nresident, fd) && fchmod(fd, 0600) == 0 && close(fd) == 0 &&
              rename(unfinished, path) == 0;
    if (!ok) {
        warn("%s", path);
        unlink(unfinished);
    }
    return ok;
}

/* Takes one snapshot of an open target. */
static bool snap(struct look *l, const char *path)
{
    struct extent *resident = NULL;
    struct stat s;
    char text[BYTES_TEXT];
    size_t n = 0;
    bool is_known = options.has_payload && find_filled(l->t, &resident, &n);
    for (size_t i = 0; i < n; i++)
        read_extent(l->t, resident[i].start, resident[i].end);
    read_history(l->t);
    look_go_on(l);
    if (!options.has_payload)
        is_known = find_filled(l->t, &resident, &n);
    bool ok = write_file(l->t, is_known ? resident : NULL, n, path);
    free(resident);
    if (!ok || stat(path, &s) != 0)
        return false;
    look_print_head(l);
    printf("%s: %s\n", path, bytes_text(text, (uint64_t)s.st_size));
    fflush(stdout);
    return true;
}

/* Opens the target and takes one snapshot. */
static bool snap_once(const char *path)
{
    struct look l = {.t = target_open(options.target)};
    if (l.t == NULL)
        return false;
    target_keep_reads(l.t);
    bool ok = heaps_open(&l.heaps, l.t);
    ok = ok && snap(&l, path);
    look_close(&l);
    return ok;
}

/* A snapshot that fails since the program is over is the end of the series, not a failure. */
static int snap_series(const char *path)
{
    struct series s;
    char numbered[PATH_MAX];
    unsigned n = 0;
    bool has_failed = false;
    if (!series_begin(&s, options.target, (double)options.every))
        return UNKNOWN;
    while (!has_failed && series_goes_on(&s)) {
        series_look(&s);
        snprintf(numbered, sizeof numbered, "%s.%u", path, n + 1);
        if (snap_once(numbered)) {
            n++;
            series_await(&s);
        } else if (series_goes_on(&s)) {
            warnx("%s is not written: the series ends here, before the process does", numbered);
            has_failed = true;
        } else {
            break;
        }
    }
    series_end(&s);
    return n > 0 && !has_failed ? FINE : UNKNOWN;
}

int command_snap(int argc, char **argv)
{
    char name[64];
    options = (struct options){0};
    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    catch_signals();
    const char *slash = strrchr(options.target, '/');
    snprintf(name, sizeof name, "mem.%.40s.snap%s", slash == NULL ? options.target : slash + 1,
             options.is_compressed ? ".zst" : "");
    const char *path = options.file == NULL ? name : options.file;
    if (options.every > 0)
        return snap_series(path);
    return snap_once(path) ? FINE : UNKNOWN;
}

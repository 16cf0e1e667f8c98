/* SPDX-License-Identifier: MIT
 *
 * fail.c - mem fail: runs a program again and again, and lets another allocation fail each time.
 *
 *     run 1    allocation 1 fails       run 2    allocation 2 fails       ...
 *
 * until a run makes fewer allocations than that. The library lets them fail (LIBMEM=fail=N), and
 * counts them in a counter file, by which this tool knows whether one did. The idea is that of
 * SQLite's tests (sqlite.org/testing.html, "Out-Of-Memory Testing"), for any program.
 */
#include "fail.h"

#include <argp.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "count.h"
#include "program.h"

static struct fail_options {
    uint64_t first, last, step; /* which allocations are tried */
    unsigned seconds; /* that a run may take; 0: ten times as long as the first, and ten more */
    bool lasts;       /* all later allocations fail, too */
    char **program;
} options = {.first = 1, .last = UINT64_MAX, .step = 1};

/* --- one run ------------------------------------------------------------------------ */

struct outcome {
    int wait_status;
    bool took_too_long;
    uint64_t nallocated, nfailed; /* of all processes */
};

/* The program reads nothing, and its output is dropped: mem keeps its own three descriptors. */
static void start_quietly(struct program *program)
{
    int kept[3], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        err(FAIL_UNKNOWN, "/dev/null");
    for (int fd = 0; fd < 3; fd++) {
        kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        dup2(null, fd);
    }
    *program = program_start(options.program);
    for (int fd = 0; fd < 3; fd++) {
        dup2(kept[fd], fd);
        close(kept[fd]);
    }
    close(null);
}

/* Waits until the program ends, and kills it when it has taken too long. */
static void wait_for(struct program *program, unsigned seconds, struct outcome *o)
{
    struct pollfd end = {.events = POLLIN};
    end.fd = (int)syscall(SYS_pidfd_open, program->pid, 0);
    if (end.fd < 0)
        err(FAIL_UNKNOWN, "pidfd_open");
    program_go(program);
    int ready;
    do
        ready = poll(&end, 1, seconds == 0 ? -1 : (int)seconds * 1000);
    while (ready < 0 && errno == EINTR);
    o->took_too_long = ready == 0;
    if (o->took_too_long)
        kill(program->pid, SIGKILL);
    close(end.fd);
    if (waitpid(program->pid, &o->wait_status, 0) < 0)
        err(FAIL_UNKNOWN, "waitpid");
}

/* A number that no allocation has: with it a run is as all others, but none fails. */
#define NONE_FAILS (UINT64_MAX >> 5)

/* Runs the program and lets the allocation of that number fail. */
static struct outcome run_once(struct counterfile *counts, const char *own, uint64_t number,
                               unsigned seconds)
{
    struct outcome o = {0};
    struct program program;
    char text[32];

    if (own != NULL ? setenv("LIBMEM", own, true) != 0 : unsetenv("LIBMEM") != 0)
        err(FAIL_UNKNOWN, "LIBMEM");
    counterfile_clear(counts);
    counterfile_name(counts);
    snprintf(text, sizeof text, "%" PRIu64 "%s", number, options.lasts ? "+" : "");
    set_option("fail", text);
    start_quietly(&program);
    wait_for(&program, seconds, &o);
    if (!program_was_executed(&program))
        err(FAIL_UNKNOWN, "%s", options.program[0]);
    counterfile_add(counts, &o.nallocated, &o.nfailed);
    return o;
}

/* --- all runs ----------------------------------------------------------------------- */

/* Runs one after another that ended in the same way are one line. */
struct ending {
    uint64_t first, last;
    struct outcome end;
};

static bool ended_alike(const struct outcome *a, const struct outcome *b)
{
    return a->took_too_long == b->took_too_long && a->wait_status == b->wait_status;
}

static bool is_bad(const struct outcome *o)
{
    return o->took_too_long || WIFSIGNALED(o->wait_status);
}

static void print_end(const struct outcome *o, unsigned seconds)
{
    if (o->took_too_long)
        printf("had not ended after %u s, and was killed\n", seconds);
    else if (WIFSIGNALED(o->wait_status))
        printf("killed by signal %d (%s)\n", WTERMSIG(o->wait_status),
               strsignal(WTERMSIG(o->wait_status)));
    else
        printf("exit status %d\n", WEXITSTATUS(o->wait_status));
}

static void print_line(const struct ending *line, unsigned seconds)
{
    char range[64];
    int n = snprintf(range, sizeof range, "%" PRIu64, line->first);
    if (line->last > line->first)
        snprintf(range + n, sizeof range - (size_t)n, " to %" PRIu64, line->last);
    printf("%-24s", range);
    print_end(&line->end, seconds);
    fflush(stdout);
}

static void show_progress(uint64_t number, uint64_t last)
{
    static time_t shown;
    time_t now = time(NULL);
    if (!isatty(STDERR_FILENO) || now == shown)
        return;
    shown = now;
    fprintf(stderr, "\r\033[Kallocation %" PRIu64 " of about %" PRIu64 " fails", number, last);
}

static void hide_progress(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

struct totals {
    uint64_t nruns, nbad;
    uint64_t first_bad; /* the number of an allocation; 0: there is none */
};

/* Lets one allocation after another fail, until a run comes to its end without, or mem is asked to
 * end. */
static struct totals try_all(struct counterfile *counts, const char *own, unsigned seconds,
                             uint64_t about)
{
    struct totals totals = {0};
    struct ending line = {0};
    uint64_t number;
    for (number = options.first; number <= options.last; number += options.step) {
        show_progress(number, options.last < about ? options.last : about);
        struct outcome o = run_once(counts, own, number, seconds);
        if (o.nfailed == 0 || program_signal() != 0)
            break;
        totals.nruns++;
        totals.nbad += is_bad(&o);
        if (totals.nbad == 1 && totals.first_bad == 0)
            totals.first_bad = number;
        if (totals.nruns > 1 && ended_alike(&o, &line.end)) {
            line.last = number;
            continue;
        }
        hide_progress();
        if (totals.nruns > 1)
            print_line(&line, seconds);
        line = (struct ending){number, number, o};
    }
    hide_progress();
    if (totals.nruns > 0)
        print_line(&line, seconds);
    return totals;
}

/* --- mem fail ------------------------------------------------------------------------ */

/* If a signal has asked mem to end, which each program was passed, ends by it. No program runs
 * now. */
static void end_if_asked(void)
{
    fflush(stdout);
    program_release_signals();
    if (program_signal() == 0)
        return;
    signal(program_signal(), SIG_DFL);
    raise(program_signal());
}

static uint64_t number_of(const char *text, const char *name, struct argp_state *state)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || number == 0)
        argp_error(state, "--%s=%s: give a number from 1 on", name, text);
    return number;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    if (key == 'f')
        options.first = number_of(arg, "from", state);
    else if (key == 't')
        options.last = number_of(arg, "to", state);
    else if (key == 'e')
        options.step = number_of(arg, "every", state);
    else if (key == 'l')
        options.lasts = true;
    else if (key == 's') {
        uint64_t seconds = number_of(arg, "seconds", state);
        if (seconds > 1000000)
            argp_error(state, "--seconds=%s: give at most 1000000", arg);
        options.seconds = (unsigned)seconds;
    } else if (key == ARGP_KEY_ARG) {
        options.program = state->argv + state->next - 1;
        state->next = state->argc; /* the rest are the program's own arguments */
    } else if (key == ARGP_KEY_NO_ARGS)
        argp_error(state, "no program to run: name one after the options");
    else if (key == ARGP_KEY_END && options.first > options.last)
        argp_error(state, "--from is above --to: no allocation would fail");
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp_option argp_options[] = {
    {"from", 'f', "N", 0, "Begin with allocation N, instead of the first", 0},
    {"to", 't', "N", 0, "End with allocation N, instead of the last", 0},
    {"every", 'e', "N", 0, "Try each Nth allocation only", 0},
    {"lasting", 'l', NULL, 0, "Let all later allocations of the run fail, too", 0},
    {"seconds", 's', "N", 0,
     "Kill a run that takes longer; without this option, one that takes ten times as long as the "
     "run without failures, and ten seconds more",
     0},
    {0}};

static const struct argp fail_argp = {
    .options = argp_options,
    .parser = parse_option,
    .args_doc = "PROGRAM [ARGUMENT]...",
    .doc =
        "Runs PROGRAM again and again, and each time lets another allocation fail: the first, the "
        "second, and so on to the last. So it shows whether the program survives each failure, or "
        "ends with a message of its own."
        "\vAn allocation is a call of malloc or its relatives, of new, or of realloc for an object "
        "that there is. Each process counts its own, a child of fork goes on from its parent's "
        "number. The program reads from /dev/null, and its output is dropped. To look at one "
        "failure: LIBMEM=fail=N mem run PROGRAM, and with history as well its stack.\n\n"
        "The exit status is 0 if no run was killed by a signal or took too long, 1 if one was, 2 "
        "if mem itself failed, or if PROGRAM takes too long also without a failure."};

int command_fail(int argc, char **argv)
{
    argp_parse(&fail_argp, argc, argv, ARGP_IN_ORDER, NULL, NULL);
    preload_library();
    char *own = getenv("LIBMEM") == NULL ? NULL : strdup(getenv("LIBMEM"));
    struct counterfile *counts = counterfile_make();
    struct timespec began, ended;
    clock_gettime(CLOCK_MONOTONIC, &began);
    struct outcome whole = run_once(counts, own, NONE_FAILS, options.seconds);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    end_if_asked();
    if (whole.took_too_long)
        errx(FAIL_UNKNOWN, "without a failure %s had not ended after %u s: give more --seconds",
             options.program[0], options.seconds);
    unsigned seconds = options.seconds != 0 ? options.seconds
                                            : 10 * (unsigned)(ended.tv_sec - began.tv_sec + 1) + 10;
    if (whole.nallocated == 0)
        errx(FAIL_UNKNOWN, "%s allocates nothing, is linked statically, or is setuid",
             options.program[0]);
    printf("without a failure: %" PRIu64 " allocations, ", whole.nallocated);
    print_end(&whole, seconds);
    struct totals totals = try_all(counts, own, seconds, whole.nallocated);
    printf("%" PRIu64 " run%s with a failure, %" PRIu64 " killed\n", totals.nruns,
           totals.nruns == 1 ? "" : "s", totals.nbad);
    if (totals.nbad > 0)
        printf("to see where it fails: LIBMEM=fail=%" PRIu64 "%s mem run --history %s ...\n",
               totals.first_bad, options.lasts ? "+" : "", options.program[0]);
    end_if_asked();
    free(own);
    return totals.nbad > 0 ? FAIL_BAD : 0;
}

/* SPDX-License-Identifier: MIT
 *
 * run.c - mem run: runs a program on libmem's malloc, and reports what it used. See run.h.
 *
 *     mem run --region=4G --onerror=report sort big.txt
 *     mem run --report sort big.txt          counts every call and prints a report
 *     mem run --leaks sort big.txt           looks for leaks when it ends
 *     mem run --time sort big.txt            prints status, time and memory; counts nothing
 *     mem run --time --system sort big.txt   does that on the system's malloc, to compare
 *
 * mem preloads the library: the program, and the programs that it starts, allocate from
 * libmem and need not be built for it. mem ends with the status that a shell would report:
 * the program's own status, 128 + n if signal n ended it, 127 if the program was not found,
 * 126 if it could not be executed; and 125 if mem itself failed. Until the program has ended, mem
 * passes the signals that it receives on to it.
 */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "count.h"
#include "inspect/command.h"
#include "inspect/leaks.h"
#include "malloc/number.h"
#include "program.h"
#include "report.h"
#include "run.h"
#include "translator.h"

enum { NOT_EXECUTABLE = 126, NOT_FOUND = 127, SIGNALLED = 128 };

/* --- the program ---------------------------------------------------------- */

struct outcome {
    int wait_status;
    double wall_seconds;
    struct rusage usage; /* of the program and of the processes that it has waited for */
};

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Runs the program, and returns when it has ended. If the program cannot be executed, mem
 * ends here with a message. */
static struct outcome run_program(char **argv)
{
    struct outcome o = {0};
    double began = seconds_now();
    struct program program = program_start(argv);
    program_go(&program);
    if (wait4(program.pid, &o.wait_status, 0, &o.usage) < 0)
        err(OWN_FAILURE, "wait4");
    program_release_signals();
    o.wall_seconds = seconds_now() - began;
    if (!program_was_executed(&program))
        err(errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE, "%s", argv[0]);
    return o;
}

/* Runs the program, and looks for leaks when it ends. If the program cannot be executed, mem ends
 * here. *leaks is NULL if it could not be looked at. */
static struct outcome run_for_leaks(char **argv, struct command_leaks **leaks)
{
    struct ending e = {0};
    *leaks = command_leaks_find(argv, &e);
    if (e.reason != 0)
        exit(e.reason == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
    if (!e.has_ended)
        exit(OWN_FAILURE);
    return (struct outcome){e.wait_status, e.wall_seconds, e.usage};
}

/* Returns the exit status for mem. If SIGINT ended the program, SIGINT ends mem as well: only
 * then does a shell end the loop from which mem was called. */
static int end_as(int wait_status)
{
    if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGINT) {
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
    }
    return WIFSIGNALED(wait_status) ? SIGNALLED + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* --- mem run ---------------------------------------------------------------- */

static void print_usage(FILE *f, const char *program, bool is_on_system, const struct outcome *o)
{
    int status = o->wait_status;
    double user = seconds(o->usage.ru_utime), system = seconds(o->usage.ru_stime);

    fprintf(f, "mem: %s%s\n", program, is_on_system ? ", on the system's malloc" : "");
    if (WIFSIGNALED(status))
        fprintf(f, "  ended by     signal %d, %s%s\n", WTERMSIG(status),
                strsignal(WTERMSIG(status)), WCOREDUMP(status) ? " (core dumped)" : "");
    else
        fprintf(f, "  exit status  %10d\n", WEXITSTATUS(status));
    fprintf(f, "  wall time    %10.3f s\n", o->wall_seconds);
    fprintf(f, "  CPU time     %10.3f s, user %.3f, system %.3f\n", user + system, user, system);
    fprintf(f, "  peak memory  %10.1f MiB, of the largest process\n",
            (double)o->usage.ru_maxrss / 1024);
}

static struct run_options {
    const char *region, *onerror, *history;
    bool is_on_system, is_timed, is_counted, is_hard, has_leaks;
    const char *file; /* of the report; NULL: standard error */
    char **program;   /* the program's name and its arguments, then NULL */
} run_options;

/* Return whether the library accepts a number. The library itself would complain in every process,
 * and go on with another one. */
static bool is_size(const char *text)
{
    return number_read(text, strlen(text), (size_t)64 << 10, (size_t)64 << 30) != 0;
}

static bool is_count(const char *text)
{
    return number_read(text, strlen(text), 1 << 10, 1 << 26) != 0;
}

static bool is_reaction(const char *text)
{
    return strcmp(text, "abort") == 0 || strcmp(text, "report") == 0 || strcmp(text, "ignore") == 0;
}

static error_t parse_run_option(int key, char *arg, struct argp_state *state)
{
    if (key == 'r' && is_size(arg))
        run_options.region = arg;
    else if (key == 'r')
        argp_error(state, "--region=%s: give a size from 64K to 64G, such as 512M or 4G", arg);
    else if (key == 'e' && is_reaction(arg))
        run_options.onerror = arg;
    else if (key == 'e')
        argp_error(state, "--onerror=%s: give abort, report or ignore", arg);
    else if (key == 'h' && (arg == NULL || is_count(arg)))
        run_options.history = arg == NULL ? "1M" : arg;
    else if (key == 'h')
        argp_error(state, "--history=%s: give a number of events from 1K to 64M", arg);
    else if (key == 'o' || key == 't') {
        *(key == 'o' ? &run_options.is_counted : &run_options.is_timed) = true;
        run_options.file = arg;
    } else if (key == 'H')
        run_options.is_hard = true;
    else if (key == 's')
        run_options.is_on_system = true;
    else if (key == 'l')
        run_options.has_leaks = true;
    else if (key == ARGP_KEY_ARG) {
        run_options.program = state->argv + state->next - 1;
        state->next = state->argc; /* the rest are the program's own arguments */
    } else if (key == ARGP_KEY_NO_ARGS)
        argp_error(state, "no program to run: name one after the options");
    else if (key == ARGP_KEY_END && run_options.is_on_system &&
             (run_options.region != NULL || run_options.onerror != NULL ||
              run_options.history != NULL || run_options.is_counted || run_options.is_hard ||
              run_options.has_leaks))
        argp_error(state, "--system does not use libmem: leave out --region, --onerror, --history, "
                          "--hard, --leaks and --report");
    else if (key == ARGP_KEY_END && run_options.is_timed && run_options.is_counted)
        argp_error(state, "--report prints all that --time prints: leave out --time");
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp_option run_argp_options[] = {
    {"region", 'r', "SIZE", 0,
     "Reserve SIZE bytes of address space for the heap of each process: 64K to 64G, with the "
     "suffix K, M or G (or k, m or g) or without",
     0},
    {"onerror", 'e', "WHAT", 0,
     "When the program frees or resizes an address at which no object begins: abort it with a "
     "message (the default), report it and go on, or ignore it and go on",
     0},
    {"history", 'h', "N", OPTION_ARG_OPTIONAL,
     "Keep the last N calls of each process with their stacks: a million, or 1K to 64M. A bad "
     "pointer is then reported with where the object was allocated and freed, by function and "
     "line, on the standard error of mem; and `mem history' shows what lay at an address. That "
     "slows the program down",
     0},
    {"hard", 'H', NULL, 0,
     "Take measures against mistakes with objects: find writes behind them and after they were "
     "freed, clear freed memory, close pages behind large objects, choose places at random. That "
     "slows the program down. LIBMEM=help lists the measures one by one",
     0},
    {"leaks", 'l', NULL, 0,
     "Look for leaks when the program ends, as `mem leaks' does, and print them on standard error; "
     "with --history, by the stack that allocated them. Processes that it starts are not looked at",
     0},
    {"report", 'o', "FILE", OPTION_ARG_OPTIONAL,
     "Count every call, and at the end write a report to FILE or to standard error: status, "
     "time, objects by size, peaks, refused frees, objects that are still live. Counting slows "
     "the program down",
     0},
    {"time", 't', "FILE", OPTION_ARG_OPTIONAL,
     "At the end write only status, time and peak memory to FILE or to standard error. The "
     "program is not slowed down",
     0},
    {"system", 's', NULL, 0, "Run PROGRAM on the system's malloc instead; with --time, to compare",
     0},
    {0}};

static const struct argp run_argp = {
    .options = run_argp_options,
    .parser = parse_run_option,
    .args_doc = "PROGRAM [ARGUMENT]...",
    .doc = "Runs PROGRAM, and the programs that it starts, on libmem's malloc. They need not be "
           "built for it."
           "\vThe exit status is that of PROGRAM; 128 + n if signal n ended it, 127 if it was not "
           "found, 126 if it could not be executed, 125 if mem itself failed. With --leaks, where "
           "that would be 0, it is 1 if there are leaks, and 125 if that cannot be told.\n\n"
           "A program keeps its own malloc if it is linked statically, if it defines malloc "
           "itself, or if it is setuid, setgid or has file capabilities.\n"};

static const char *unused_file; /* a new file for the report, which has none yet; or NULL */

static void remove_unused_file(void)
{
    if (unused_file != NULL)
        unlink(unused_file);
}

/* Opens the file for the report, which keeps what it has until there is a report: mem may find no
 * program. A new file is removed then. Ends mem if nothing can be written there. */
static FILE *open_report(void)
{
    if (run_options.file == NULL)
        return stderr;
    int fd = open(run_options.file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 && atexit(remove_unused_file) == 0)
        unused_file = run_options.file;
    if (fd < 0)
        fd = open(run_options.file, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (f == NULL)
        err(OWN_FAILURE, "%s", run_options.file);
    return f;
}

/* Returns whether what the program wrote to its output is in the file, as with
 * --report=/dev/stdout. */
static bool has_output(int fd)
{
    struct stat file, output;
    bool has = false;
    for (int i = STDOUT_FILENO; i <= STDERR_FILENO; i++)
        has = has || (fstat(fd, &file) == 0 && fstat(i, &output) == 0 &&
                      file.st_dev == output.st_dev && file.st_ino == output.st_ino);
    return has;
}

/* Empties the file for the report, or goes to the end of what the program wrote there. A pipe or a
 * device cannot be emptied, and need not be. */
static bool make_room(int fd)
{
    return (has_output(fd) ? lseek(fd, 0, SEEK_END) >= 0 : ftruncate(fd, 0) == 0) ||
           errno == EINVAL || errno == ESPIPE;
}

/* Prints the report, if one is wanted. Returns false if it could not be written. */
static bool write_report(FILE *f, const struct outcome *o, const struct counterfile *counterfile)
{
    bool ok = f == stderr || make_room(fileno(f));
    unused_file = NULL;
    if (run_options.is_timed || run_options.is_counted)
        print_usage(f, run_options.program[0], run_options.is_on_system, o);
    if (counterfile != NULL)
        report_print(f, counterfile);
    ok = ok && !ferror(f) && fflush(f) == 0;
    if (!ok)
        warn("%s", run_options.file != NULL ? run_options.file : "standard error");
    return ok;
}

int command_run(int argc, char **argv)
{
    argp_parse(&run_argp, argc, argv, ARGP_IN_ORDER, NULL, NULL);
    FILE *f = open_report();
    const struct counterfile *counterfile = NULL;
    struct translator *translator = NULL;
    if (!run_options.is_on_system)
        preload_library();
    if (run_options.region != NULL)
        set_option("region", run_options.region);
    if (run_options.onerror != NULL)
        set_option("onerror", run_options.onerror);
    if (run_options.history != NULL) {
        set_option("history", run_options.history);
        translator = translator_begin();
    }
    if (run_options.is_hard)
        set_option("hard", NULL);
    if (run_options.is_counted)
        counterfile_name(counterfile = counterfile_make());
    struct command_leaks *leaks = NULL;
    struct outcome o = run_options.has_leaks ? run_for_leaks(run_options.program, &leaks)
                                             : run_program(run_options.program);
    if (translator != NULL)
        translator_end(translator);
    int found = leaks != NULL ? command_leaks_print(leaks) : run_options.has_leaks ? UNKNOWN : FINE;
    bool is_written = write_report(f, &o, counterfile);
    int status = end_as(o.wait_status);
    if (status == 0 && (!is_written || found == UNKNOWN))
        return OWN_FAILURE;
    return status == 0 ? found : status;
}

/* SPDX-License-Identifier: MIT
 *
 * mem.c - runs a program on libmem's malloc, and says what it took.
 *
 *     mem run --region=4G --onerror=report sort big.txt
 *
 * The library is preloaded: the program and the programs that it starts allocate
 * from libmem and need not be built for it. mem ends as the program did, the way
 * a shell tells it: its status, 128 + n if signal n ended it, 127 if it was not
 * found, 126 if it could not be executed; and 125 if mem itself had to give up.
 */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OWN_FAILURE = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127, SIGNALLED = 128 };

static const char library_name[] = "libmem-malloc.so";
/* Where it is, seen from the folder of this program: as built, as installed. */
static const char *const library_places[] = {".", "../lib", "../build"};

const char *argp_program_version = "mem (libmem) " MEM_VERSION;

/* --- what the program finds in its environment -------------------------- */

/* NAME=FIRST<separator>SECOND, without the separator if one of them is NULL or empty. */
static void set_list(const char *name, const char *first, char separator, const char *second)
{
    bool has_both = first != NULL && *first != '\0' && second != NULL && *second != '\0';
    char *list;

    if (asprintf(&list, "%s%.*s%s", first != NULL ? first : "", has_both, &separator,
                 second != NULL ? second : "") < 0 ||
        setenv(name, list, true) != 0)
        err(OWN_FAILURE, "%s", name);
    free(list);
}

/* LIBMEM=NAME=VALUE, after what is there already: the later of two settings holds. */
static void set_option(const char *name, const char *value)
{
    char setting[64];

    snprintf(setting, sizeof(setting), "%s=%s", name, value);
    set_list("LIBMEM", getenv("LIBMEM"), ',', setting);
}

/* The absolute path, for the caller to free; or NULL. */
static char *find_library(void)
{
    char self[PATH_MAX], path[PATH_MAX + 64];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n < 0)
        return NULL;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof(library_places) / sizeof(*library_places); i++) {
        snprintf(path, sizeof(path), "%s/%s/%s", self, library_places[i], library_name);
        if (access(path, R_OK) == 0)
            return realpath(path, NULL);
    }
    return NULL;
}

/* Before what is preloaded already: the first malloc is the one that is used. */
static void preload_library(void)
{
    char *library = find_library();

    if (library == NULL)
        errx(OWN_FAILURE, "%s is not where mem is, nor in ../lib or ../build from there",
             library_name);
    if (strpbrk(library, " :") != NULL)
        errx(OWN_FAILURE, "%s: LD_PRELOAD cannot name a path with a space or a colon", library);
    set_list("LD_PRELOAD", library, ':', getenv("LD_PRELOAD"));
    free(library);
}

/* --- the program ---------------------------------------------------------- */

struct outcome {
    int wait_status;
    double wall_seconds;
    struct rusage usage; /* of the program and of those it has waited for */
};

static volatile sig_atomic_t child; /* its number */

static void pass_on(int signal_number)
{
    kill(child, signal_number);
}

/* A signal from the keyboard reaches the program by itself; one sent to mem is meant
 * for the program. In both cases mem stays to report. Calls go on after a signal. */
static void outlive_the_program(pid_t pid)
{
    child = pid;
    signal(SIGTERM, pass_on);
    signal(SIGHUP, pass_on);
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
}

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

/* Returns when the program has ended. If it cannot begin, mem ends. */
static struct outcome run_program(char **program)
{
    struct outcome o = {0};
    pid_t pid;

    double began = seconds_now();
    errno = posix_spawnp(&pid, program[0], NULL, NULL, program, environ);
    if (errno != 0)
        err(errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE, "%s", program[0]);
    outlive_the_program(pid);
    if (wait4(pid, &o.wait_status, 0, &o.usage) < 0)
        err(OWN_FAILURE, "wait4");
    o.wall_seconds = seconds_now() - began;
    return o;
}

static int shell_status(int wait_status)
{
    return WIFSIGNALED(wait_status) ? SIGNALLED + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* --- mem run ---------------------------------------------------------------- */

static void print_report(FILE *f, const char *program, const struct outcome *o)
{
    int status = o->wait_status;
    double user = seconds(o->usage.ru_utime), system = seconds(o->usage.ru_stime);

    fprintf(f, "mem: %s\n", program);
    if (WIFSIGNALED(status))
        fprintf(f, "  ended by     signal %d, %s%s\n", WTERMSIG(status),
                strsignal(WTERMSIG(status)), WCOREDUMP(status) ? " (core dumped)" : "");
    else
        fprintf(f, "  exit status  %10d\n", WEXITSTATUS(status));
    fprintf(f, "  wall time    %10.3f s\n", o->wall_seconds);
    fprintf(f, "  CPU time     %10.3f s, user %.3f, system %.3f\n", user + system, user, system);
    fprintf(f, "  peak memory  %10.1f MiB\n", (double)o->usage.ru_maxrss / 1024);
}

static struct run_options {
    const char *region, *onerror, *report;
    char **program; /* and its arguments; NULL behind the last */
} run_options;

/* Digits and perhaps a unit. Whether there is so much is for the library to find out. */
static bool is_size(const char *text)
{
    size_t ndigits = strspn(text, "0123456789"), nunits = strspn(text + ndigits, "KMGT");

    return ndigits > 0 && ndigits < 20 && nunits <= 1 && text[ndigits + nunits] == '\0' &&
           strtoull(text, NULL, 10) > 0;
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
        argp_error(state, "--region=%s: not a size such as 4096, 512M or 4G", arg);
    else if (key == 'e' && is_reaction(arg))
        run_options.onerror = arg;
    else if (key == 'e')
        argp_error(state, "--onerror=%s: not abort, report or ignore", arg);
    else if (key == 'o')
        run_options.report = arg;
    else if (key == ARGP_KEY_ARG) {
        run_options.program = state->argv + state->next - 1;
        state->next = state->argc; /* what follows is the program's own */
    } else if (key == ARGP_KEY_NO_ARGS)
        argp_error(state, "no program to run");
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const struct argp_option run_argp_options[] = {
    {"region", 'r', "SIZE", 0, "Reserve so much for the heap; K, M, G and T are understood", 0},
    {"onerror", 'e', "WHAT", 0, "On a wrong free: abort (the default), report or ignore", 0},
    {"report", 'o', "FILE", 0, "Write the report there, not to standard error", 0},
    {0}};

static const struct argp run_argp = {
    .options = run_argp_options,
    .parser = parse_run_option,
    .args_doc = "PROGRAM [ARGUMENT]...",
    .doc =
        "Runs PROGRAM on libmem's malloc, then reports how it ended, its time and its memory."
        "\vThe status is that of PROGRAM; 128 + n if signal n ended it, 127 if it was not found, "
        "126 if it could not be executed, 125 if mem itself failed. A program that is linked "
        "statically, or changes user as it starts, keeps its own malloc."};

static int command_run(int argc, char **argv)
{
    argp_parse(&run_argp, argc, argv, ARGP_IN_ORDER, NULL, NULL);
    FILE *report = run_options.report == NULL ? stderr : fopen(run_options.report, "we");
    if (report == NULL)
        err(OWN_FAILURE, "%s", run_options.report);
    preload_library();
    if (run_options.region != NULL)
        set_option("region", run_options.region);
    if (run_options.onerror != NULL)
        set_option("onerror", run_options.onerror);
    struct outcome o = run_program(run_options.program);
    print_report(report, run_options.program[0], &o);
    bool is_written = !ferror(report) && fflush(report) == 0;
    if (!is_written)
        warn("%s", run_options.report != NULL ? run_options.report : "standard error");
    int status = shell_status(o.wait_status);
    return status == 0 && !is_written ? OWN_FAILURE : status;
}

/* --- mem ---------------------------------------------------------------------- */

static char run_name[] = "mem run";

static const struct command {
    const char *name;
    char *argv0;
    int (*run)(int argc, char **argv);
} commands[] = {{"run", run_name, command_run}};

static const struct command *command_named(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int first_argument; /* of the command: index of its name */

static error_t parse_command(int key, char *arg, struct argp_state *state)
{
    if (key == ARGP_KEY_NO_ARGS)
        argp_error(state, "no command");
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (command_named(arg) == NULL)
        argp_error(state, "%s: no such command", arg);
    first_argument = state->next - 1;
    state->next = state->argc; /* what follows is the command's own */
    return 0;
}

static const struct argp argp = {
    .parser = parse_command,
    .args_doc = "COMMAND [ARGUMENT]...",
    .doc = "Uses libmem on programs as they are.\v"
           "Commands:\n"
           "  run        run a program on libmem's malloc and report what it took\n\n"
           "`mem COMMAND --help' tells of a command's options."};

int main(int argc, char **argv)
{
    argp_err_exit_status = OWN_FAILURE;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, NULL);
    const struct command *command = command_named(argv[first_argument]);
    argv[first_argument] = command->argv0;
    return command->run(argc - first_argument, argv + first_argument);
}

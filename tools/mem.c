/* SPDX-License-Identifier: MIT
 *
 * mem.c - the tool: finds the command that its first argument names. Each command has a file of its
 * own: run.c, which runs programs, and in inspect/ those that look into heaps.
 */
#include <argp.h>
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "inspect/command.h"
#include "program.h"
#include "run.h"

const char *argp_program_version = "mem (libmem) " MEM_VERSION;

static const struct command {
    const char *name;
    const char *argv0;
    int (*run)(int argc, char **argv);
    int own_failure; /* the exit status if mem itself fails */
    const char *what;
} commands[] = {
    {"run", "mem run", command_run, OWN_FAILURE, "run a program on libmem's malloc"},
    {"fail", "mem fail", command_fail, FAIL_UNKNOWN,
     "run a program once for each allocation, which fails"},
    {"map", "mem map", command_map, UNKNOWN, "draw a program's heap"},
    {"find", "mem find", command_find, UNKNOWN, "say what lies at an address"},
    {"sizes", "mem sizes", command_sizes, UNKNOWN, "count live objects by their size"},
    {"snap", "mem snap", command_snap, UNKNOWN, "write a snapshot of its heaps"},
    {"check", "mem check", command_check, UNKNOWN, "count every invariant of its heaps again"},
    {"leaks", "mem leaks", command_leaks, UNKNOWN, "list the objects that nothing leads to"},
    {"refs", "mem refs", command_refs, UNKNOWN, "show what leads to an object"},
    {"history", "mem history", command_history, UNKNOWN, "list the calls that used an address"},
    {"owners", "mem owners", command_owners, UNKNOWN, "list what keeps most memory alive"},
    {"diff", "mem diff", command_diff, UNKNOWN, "compare the heaps of two snapshots"},
    {"top", "mem top", command_top, UNKNOWN, "show on a screen how a heap changes"},
};

static const struct command *command_named(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int first_argument; /* the index in argv of the command's name */

static error_t parse_command(int key, char *arg, struct argp_state *state)
{
    if (key == ARGP_KEY_NO_ARGS)
        argp_error(state, "no command: name one, such as run");
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (command_named(arg) == NULL)
        argp_error(state, "%s: no such command; `mem --help' lists them", arg);
    first_argument = state->next - 1;
    state->next = state->argc; /* the rest are the command's own arguments */
    return 0;
}

/* Lists the commands behind the other help. */
static char *list_commands(int key, const char *text, void *input)
{
    char *list = NULL;
    size_t nbytes;
    (void)input;
    FILE *f = key == ARGP_KEY_HELP_POST_DOC ? open_memstream(&list, &nbytes) : NULL;
    if (f == NULL)
        return (char *)(uintptr_t)text;
    fprintf(f, "Commands:\n");
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].what);
    fprintf(f, "\n`mem COMMAND --help' describes a command and its options.");
    return fclose(f) == 0 ? list : NULL;
}

static const struct argp argp = {
    .parser = parse_command,
    .args_doc = "COMMAND [ARGUMENT]...",
    .doc = "Runs programs on libmem, without a change to the programs, and looks into their heaps "
           "while they run or afterwards.\v",
    .help_filter = list_commands};

static int own_failure = OWN_FAILURE; /* the exit status if mem itself fails */

/* Called by exit, also after argp has printed the help: output that could not be written is a
 * failure. It ends with _exit, since a function that exit calls must not call exit. */
static void flush_output(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        warn("standard output");
        _exit(own_failure);
    }
}

/* Opens the first three descriptors, if mem was started without one of them: else a file that mem
 * opens would get its number, and what mem prints would go there. To write to one fails as it would
 * have, and a program that mem runs finds it closed. */
static void fill_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    program_survive_file_limit();
    argp_err_exit_status = OWN_FAILURE;
    atexit(flush_output);
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, NULL);
    const struct command *command = command_named(argv[first_argument]);
    argp_err_exit_status = own_failure = command->own_failure;
    argv[first_argument] = (char *)(uintptr_t)command->argv0;
    return command->run(argc - first_argument, argv + first_argument);
}

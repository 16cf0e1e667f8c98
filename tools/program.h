/* SPDX-License-Identifier: MIT
 *
 * program.h - starts a program on libmem's malloc, and passes signals on to it.
 *
 * If mem itself fails in one of these, it ends with argp_err_exit_status, which mem.c sets for each
 * command.
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

/* Appends NAME=VALUE to the variable LIBMEM; or NAME, if value is NULL. Of two settings of one
 * option, the library takes the later one. */
void set_option(const char *name, const char *value);

/* Puts the library in front of what LD_PRELOAD names already. */
void preload_library(void);

/* From now on a write above the limit on the size of files fails (EFBIG), and does not end mem by
 * SIGXFSZ. Programs that mem starts get what mem itself was started with. */
void program_survive_file_limit(void);

struct program {
    pid_t pid;
    int go[2], failed; /* pipes to the child process, and from it */
};

/* Makes a child process that executes a program, its name and its arguments, when program_go is
 * called. From now on mem passes signals on to it, and outlives it, until it calls
 * program_release_signals. */
struct program program_start(char **argv);
void program_go(struct program *p);

/* Lets the signals do to mem again what they did before the program was started. Called when the
 * program has ended, so that mem can be ended while it looks for leaks or writes a report. A signal
 * that came after mem had asked for the program's status takes effect now. */
void program_release_signals(void);

/* Returns whether the program has been executed; else errno says why not. Called once, when the
 * child process has ended, or is about to. */
bool program_was_executed(struct program *p);

/* Returns the last signal by which mem was asked to end since it first started a program: SIGHUP,
 * SIGINT, SIGQUIT or SIGTERM; or 0. */
int program_signal(void);

#endif

/* SPDX-License-Identifier: MIT
 *
 * command.h - what the commands that look at a target share: opening it, exit statuses, numbers,
 * colours, progress.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* The exit status of such a command, which its --help explains. UNKNOWN: it cannot be told, or mem
 * itself failed. */
enum { FINE = 0, FOUND = 1, UNKNOWN = 2 };

/* The commands: each is given its own arguments, from its name on, and returns its exit status. It
 * may be called again with others, as the tests do. */
int command_map(int argc, char **argv);
int command_find(int argc, char **argv);
int command_sizes(int argc, char **argv);
int command_check(int argc, char **argv);
int command_leaks(int argc, char **argv);
int command_refs(int argc, char **argv);
int command_owners(int argc, char **argv);
int command_history(int argc, char **argv);
int command_snap(int argc, char **argv);
int command_diff(int argc, char **argv);
int command_top(int argc, char **argv);

/* What --help says of TARGET. */
#define TARGET_HELP                                                                                \
    "TARGET is the id of a running process, a core file, or a snapshot that `mem snap' has made. " \
    "A process is stopped for as long as its heap's metadata are copied, and never changed."

/* --- arguments ----------------------------------------------------------------------- */

struct argp_state;

/* For argp's parser of a command: stores the first argument as the target, and refuses a second one
 * and none at all. Returns false if the key is none of these. */
bool argument_target(int key, char *arg, struct argp_state *state, const char **target);

/* Read an argument that is a number, or an address such as 0x7f0012345678; refuse any other. */
uint64_t argument_number(const char *arg, struct argp_state *state);
uint64_t argument_address(const char *arg, struct argp_state *state);

/* --- time ---------------------------------------------------------------------------- */

/* Returns the time, in seconds since some moment. */
double clock_seconds(void);

/* --- output ------------------------------------------------------------------------ */

/* Returns whether to print colours: standard output is a terminal, and NO_COLOR is not set. */
bool has_colours(void);

/* Writes a number of bytes as a person reads it: "96 B", "1.5 MiB". Returns `text`. */
enum { BYTES_TEXT = 24 };
char *bytes_text(char text[BYTES_TEXT], uint64_t nbytes);

/* Returns "s", or "" for 1: "2 objects", "1 object". */
const char *plural(uint64_t n);

/* Replaces what is no text in a name, which may hold any bytes, by `?`: control characters, which
 * the terminal would obey, and bytes that are not UTF-8. Returns `text`. */
char *clean_text(char *text);

/* Prints a string of JSON, with its quotes. A byte that is not UTF-8 becomes U+FFFD. */
void print_json(FILE *f, const char *text);

/* Says on standard error, if that is a terminal and the work has taken a second, how much of it is
 * done; nothing of it stays on the screen after progress_end. */
void progress(const char *what, uint64_t done, uint64_t all);
void progress_end(void);

/* --- arrays ------------------------------------------------------------------------- */

/* Sorts an array as qsort does. An empty one may be NULL, which qsort must not be given. */
void sort_array(void *array, size_t n, size_t element_bytes,
                int (*compare)(const void *a, const void *b));

/* --- looking ----------------------------------------------------------------------- */

/* For those that have included heaps.h before. */
#ifdef HEAPS_H
/* A target and its heaps. */
struct look {
    struct target *t;
    struct heaps heaps;
};

/* Opens both. A process stays stopped, so that the command can read more of the same moment, until
 * look_go_on. Returns false after a message. */
bool look_open(struct look *l, const char *name);
void look_go_on(struct look *l);
void look_close(struct look *l);

/* Prints what the output is of: the target, how long it was stopped, and what is uncertain. */
void look_print_head(const struct look *l);

/* Prints what is uncertain of it alone: nothing, mostly. */
void look_print_doubts(FILE *f, const struct look *l);

/* Prints the head as members of a JSON object, each with a comma behind it. */
void look_print_json_head(const struct look *l);

/* Returns whether all heaps could be read, and none was changing. */
bool look_is_certain(const struct look *l);
#endif

#endif

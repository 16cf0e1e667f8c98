/* SPDX-License-Identifier: MIT
 *
 * counterfile.h - a file in which each process of a program counts its calls, in its own row.
 *
 *     [head][row: mem's child][row: its child, forked][row: what that executes] ...
 *
 * `mem run --report` makes the counter file in memory, and LIBMEM=count=FILE names it. A process
 * maps it, takes the next row, and counts there. No code has to run when the process ends: its row
 * stays as the process left it, whether it ended by _exit, exec, abort or a signal.
 *
 * Both the library and the tool `mem` include this file. They map the file at different addresses,
 * so a row holds no address.
 */
#ifndef COUNTERFILE_H
#define COUNTERFILE_H

#include "core/counters.h"

enum { ROW_COMMAND_MAX = 96, COUNTERFILE_NROWS = 16384 };

struct row {
    int32_t pid, parent;           /* 0: no process counts in this row */
    uint32_t is_forked;            /* the process is a child of fork that has not called exec */
    char command[ROW_COMMAND_MAX]; /* name and arguments of the program; ends with '\0' */
    _Alignas(64) struct counters counters;
};

struct counterfile {
    char title[20]; /* COUNTERFILE_TITLE */
    uint32_t row_bytes;
    uint32_t nrows;
    uint32_t nwanted; /* rows that processes asked for; those above nrows were refused */
    _Alignas(64) struct row row[];
};
#define COUNTERFILE_TITLE "libmem counts"

/* Bytes of a counter file with `nrows` rows. */
static inline size_t counterfile_bytes(uint32_t nrows)
{
    return sizeof(struct counterfile) + nrows * sizeof(struct row);
}

/* Maps the counter file at `path`. Returns NULL if the system refuses (errno says why) or the file
 * is no counter file of this version (EINVAL). Allocates nothing. */
struct counterfile *counterfile_open(const char *path);

/* Takes an unused row. Returns NULL if all rows are taken. */
struct row *counterfile_row(struct counterfile *s);

/* Marks the row as that of the calling process. Keeps errno. */
void row_begin(struct row *r);

/* Notes the program's name (without its folder) and arguments, as far as they fit. */
void row_name(struct row *r, int argc, char *const *argv);

/* Prepares the child's row before a fork: it starts with the parent's live objects. */
void row_fork(struct row *child, const struct row *parent);

#endif

/* SPDX-License-Identifier: MIT
 *
 * sheet.h - the sheet on which each process of a program counts, in a row of its own.
 *
 *     [head][row: mem's child][row: its child, forked][row: what that executes] ...
 *
 * `mem run --report` makes the sheet, a file in memory, and LIBMEM=count=FILE says where.
 * A process maps it, takes the next row, and counts there. So nothing is to be done when
 * it ends: the row is as it was left, also by _exit, by exec, by abort, by a signal.
 *
 * Both the library and `mem` include this file. Addresses differ: a row holds none.
 */
#ifndef SHEET_H
#define SHEET_H

#include "core/counters.h"

enum { ROW_COMMAND_MAX = 96, COUNTERFILE_NROWS = 16384 };

struct row {
    int32_t pid, parent;           /* 0: nobody counts there */
    uint32_t is_forked;            /* and has not executed anything since */
    char command[ROW_COMMAND_MAX]; /* the name of the program and its arguments; ends with '\0' */
    _Alignas(64) struct counters counters;
};

struct counterfile {
    char title[20]; /* COUNTERFILE_TITLE */
    uint32_t row_bytes;
    uint32_t nrows;
    uint32_t nwanted; /* those after the first nrows could not be had */
    _Alignas(64) struct row row[];
};
#define COUNTERFILE_TITLE "libmem counts"

static inline size_t counterfile_bytes(uint32_t nrows)
{
    return sizeof(struct counterfile) + nrows * sizeof(struct row);
}

/* Maps the sheet in that file. NULL: it cannot be (errno says why), or is no sheet
 * (EINVAL). Allocates nothing. */
struct counterfile *counterfile_open(const char *path);

/* A row that is nobody's so far; NULL: there are no more. */
struct row *counterfile_row(struct counterfile *s);

/* The calling process counts there. Leaves errno alone. */
void row_begin(struct row *r);

/* And this is what it executes. */
void row_name(struct row *r, int argc, char *const *argv);

/* Prepares a row, before a fork, for the child. */
void row_fork(struct row *child, const struct row *parent);

#endif

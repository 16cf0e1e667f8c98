/* SPDX-License-Identifier: MIT
 *
 * count.h - the file in which the processes of a program count their calls (malloc/counterfile.h),
 * as the tool makes it and reads it.
 */
#ifndef COUNT_H
#define COUNT_H

#include "malloc/counterfile.h"

/* Makes the file in memory; the kernel deletes it when the last process that uses it ends. If that
 * fails, mem ends with argp_err_exit_status. Called once. */
struct counterfile *counterfile_make(void);

/* Names the file to the library, by the option count: the program that is started next counts. */
void counterfile_name(const struct counterfile *counterfile);

/* Empties the file; no process counts in it any longer. */
void counterfile_clear(struct counterfile *counterfile);

/* Adds up how many allocations all processes made, and how many failed. */
void counterfile_add(const struct counterfile *counterfile, uint64_t *nallocated,
                     uint64_t *nfailed);

#endif

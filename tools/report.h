/* SPDX-License-Identifier: MIT
 *
 * report.h - prints what the processes of a program have counted.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdio.h>

#include "malloc/counterfile.h"

/* Prints the report of `mem run --report`. If a process of the program is still running, the
 * report has what that process has counted so far. */
void report_print(FILE *f, const struct counterfile *counterfile);

#endif

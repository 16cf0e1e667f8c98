/* SPDX-License-Identifier: MIT
 *
 * report.h - what the processes of a program have counted, for people to read.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdio.h>

#include "malloc/counterfile.h"

/* A process may still be running: then it is what has been counted so far. */
void report_print(FILE *f, const struct counterfile *counterfile);

#endif

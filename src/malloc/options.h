/* SPDX-License-Identifier: MIT
 *
 * options.h - what the environment variable LIBMEM says.
 *
 *     LIBMEM=onerror=report,region=4G program
 *
 * Options are separated by commas. What is wrong with one is said on standard
 * error, and the others count all the same. A program that has more rights than
 * who started it (setuid) takes no options.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/base.h"

enum onerror {
    ONERROR_ABORT, /* say what was refused, then abort() */
    ONERROR_REPORT,
    ONERROR_IGNORE
};

struct options {
    enum onerror onerror;
    size_t region_bytes; /* 0: the library chooses */
    char count[64];      /* the sheet to count on (sheet.h); "": nobody counts */
};

/* Reads LIBMEM in this environment, which may be NULL. Allocates nothing. */
void options_read(struct options *o, char *const *environment);

#endif

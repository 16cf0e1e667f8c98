/* SPDX-License-Identifier: MIT
 *
 * options.h - the settings that the environment variable LIBMEM makes.
 *
 *     LIBMEM=onerror=report,region=4G program
 *
 * Options are separated by commas. A wrong option is reported on standard error and ignored; the
 * others take effect all the same. A program that has more rights than the user that started it
 * (setuid) ignores the variable.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/base.h"

enum onerror {
    ONERROR_ABORT,  /* report what was refused, then abort() */
    ONERROR_REPORT, /* report it, and go on: the call does nothing */
    ONERROR_IGNORE  /* go on silently */
};

/* Measures against a program's mistakes (hard.h), as bits. */
enum measure {
    MEASURE_ZERO = 1,       /* freed memory is cleared */
    MEASURE_CANARY = 2,     /* secret bytes behind each object are looked at when it is freed */
    MEASURE_MISMATCH = 4,   /* each call frees only what its family has allocated; with canaries */
    MEASURE_QUARANTINE = 8, /* freed objects are held back, and looked at before they go */
    MEASURE_GUARD = 16,     /* pages that cannot be touched */
    MEASURE_RANDOM = 32,    /* slots are chosen at random */
    MEASURE_COPY = 64,      /* memcpy and its like see which object they read and write */
    MEASURES_ALL = 127,
    MEASURES_HARD = MEASURES_ALL & ~MEASURE_COPY /* which each call that frees has to know of */
};

enum { PATH_BYTES = 64 };

struct options {
    enum onerror onerror;
    enum onerror sizes; /* for a wrong size or alignment of an object; like onerror if not set */
    bool sizes_is_set;
    size_t region_bytes;     /* 0: the library chooses */
    size_t nevents;          /* of the history (history.h), a power of two; 0: none is kept */
    bool by_frame_pointers;  /* how the history walks along stacks (stack.h) */
    unsigned measures;       /* of enum measure */
    size_t quarantine_bytes; /* that the quarantine holds; 0: it was not said */
    size_t fail_at;          /* the number of the allocation that fails; 0: none does on purpose */
    bool fail_lasts;         /* and so do all that follow it */
    char count[PATH_BYTES]; /* path of the counter file (counterfile.h); "" if nothing is counted */
    char stacks[PATH_BYTES]; /* path of a pipe for the stacks of a bad pointer; "": stderr */
    uint64_t stacks_inode;   /* the pipe's inode: the path may name another file one day */
};

/* Reads LIBMEM from `environment`, an array that ends with NULL, or NULL for none. Options that are
 * not given keep the value that *o has. Allocates nothing. */
void options_read(struct options *o, char *const *environment);

#endif

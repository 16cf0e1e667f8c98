/* SPDX-License-Identifier: MIT
 *
 * series.h - a process that is looked at again and again, one look each some seconds, until its
 * program is over.
 */
#ifndef SERIES_H
#define SERIES_H

#include "target.h"

struct series {
    struct target *program; /* as it was at first: never stopped, only asked whether it is over */
    double every, due;      /* seconds: between two looks; and when the next one is due */
};

/* Begins a series of looks, of which the first is due at once. Returns false, after a message, if
 * the target is no process that can be looked at. */
bool series_begin(struct series *s, const char *name, double every);
void series_end(struct series *s);

/* Returns whether the process still executes the program that it did at first. If not, prints what
 * has become of it. A look that was taken before the call is one at that program if it does. */
bool series_goes_on(const struct series *s);

/* Notes that a look begins. The next one is due a fixed time after this one was, however long it
 * takes. If that time has passed already, the time begins now. */
void series_look(struct series *s);

/* Sets the seconds between two looks, from the last one on. */
void series_set_pace(struct series *s, double every);

/* Returns how many seconds are left until the next look; 0 if it is due. */
double series_seconds_left(const struct series *s);

/* Sleeps until the next look is due. */
void series_await(const struct series *s);

#endif

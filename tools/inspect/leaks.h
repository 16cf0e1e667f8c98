/* SPDX-License-Identifier: MIT
 *
 * leaks.h - the leaks of a command when it ends, for mem run.
 */
#ifndef LEAKS_H
#define LEAKS_H

#include "ending.h"

struct command_leaks;

/* Runs a command until it ends, and looks for leaks before its memory is gone. `e` says how it
 * ended. Returns NULL, after a message, if it could not be looked at. */
struct command_leaks *command_leaks_find(char **command, struct ending *e);

/* Prints them on standard error, and frees them. Returns FINE, FOUND or UNKNOWN (command.h). */
int command_leaks_print(struct command_leaks *c);

#endif

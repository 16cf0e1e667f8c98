/* SPDX-License-Identifier: MIT
 *
 * run.h - mem run.
 */
#ifndef RUN_H
#define RUN_H

/* The exit status of mem run if mem itself fails: each lower one may be the program's. */
enum { OWN_FAILURE = 125 };

/* Is given its own arguments, from its name on, and returns the exit status. */
int command_run(int argc, char **argv);

#endif

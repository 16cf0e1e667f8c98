/* SPDX-License-Identifier: MIT
 *
 * fail.h - mem fail.
 */
#ifndef FAIL_H
#define FAIL_H

/* The exit status if a run was killed, and if mem itself fails. */
enum { FAIL_BAD = 1, FAIL_UNKNOWN = 2 };

/* Is given its own arguments, from its name on, and returns the exit status. */
int command_fail(int argc, char **argv);

#endif

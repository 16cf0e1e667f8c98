/* SPDX-License-Identifier: MIT
 *
 * every.h - looks into a core file or a snapshot with every command of `mem` that reads one, in
 * this process, as a person would from a shell.
 */
#ifndef EVERY_H
#define EVERY_H

#include <stdint.h>

/* Runs each command once on the file. Those that take an address are asked for `address`. With an
 * odd number of `style` the output is JSON, and the other bits choose between further options. The
 * caller sends standard output and standard error elsewhere. */
void look_with_every_command(const char *path, uint64_t address, unsigned style);

#endif

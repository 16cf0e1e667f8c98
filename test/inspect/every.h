/* SPDX-License-Identifier: MIT
 *
 * every.h - looks into a core file or a snapshot in each way that the tool has, in this process.
 */
#ifndef EVERY_H
#define EVERY_H

#include <stdbool.h>
#include <stddef.h>

#include "damage.h"

/* Looks into the file with the functions of tools/inspect/heaps.h; and then, if it has heaps, with
 * each command of `mem` that reads a file, as text or as JSON. Addresses and options are drawn at
 * random. Returns whether it has heaps, and adds to *nread how many of them can be read. The caller
 * sends standard output and standard error elsewhere. */
bool look_in_every_way(const char *path, struct damage *random, size_t *nread);

/* Does one of these, drawn at random. */
void look_in_one_way(const char *path, struct damage *random);

#endif

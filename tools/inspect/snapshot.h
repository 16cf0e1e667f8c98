/* SPDX-License-Identifier: MIT
 *
 * snapshot.h - writes a core file that holds only what the tools need.
 *
 *     ELF header | program headers | notes | pages
 *
 * What a snapshot holds is what the commands have read while it was made (target_keep_reads), so
 * that a command says of a snapshot what it says of the process. gdb and elfutils read it as any
 * core file.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "target.h"

/* Beside the notes of every core file a snapshot has one of this owner: pairs of addresses between
 * which all pages were in memory. It covers all memory that may hold pointers, also where the
 * snapshot does not hold the pages. */
#define SNAPSHOT_OWNER "libmem"
enum { SNAPSHOT_RESIDENT = 0x100 };

/* And one that names mappings which are not of files, such as "[stack]", in the form of NT_FILE. */
enum { SNAPSHOT_NAMES = 0x101 };

/* A flag of a segment that belongs to the same mapping as the one before it. It is one of those
 * that ELF leaves to the operating system, which uses none of them. */
#define SNAPSHOT_GOES_ON 0x00100000u

/* Writes what was kept of a target, with the extents that are in memory (NULL: that is not known),
 * to a file that is empty. Returns false, with errno set, if that fails. */
bool snapshot_write(struct target *t, const struct extent *resident, size_t nresident, int fd);

#endif

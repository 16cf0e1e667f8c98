/* SPDX-License-Identifier: MIT
 *
 * compress.h - files that are compressed by zstd. Without libzstd such files are refused.
 */
#ifndef COMPRESS_H
#define COMPRESS_H

#include <stdbool.h>
#include <stdint.h>

/* If the file is compressed, replaces the descriptor by that of a file that is not, which has no
 * name and goes when it is closed. Returns false, after a message, if that cannot be done. */
bool decompress_if_needed(int *fd, uint64_t *nbytes, const char *name);

/* Returns whether this tool can compress. */
bool can_compress(void);

/* Compresses all of a file to another one. Returns false, with errno set, if that fails. */
bool compress_file(int from, int to);

#endif

/* SPDX-License-Identifier: MIT
 *
 * packed.h - a file with its zeros left out. A snapshot of a small heap is a quarter of a megabyte,
 * of which nine tenths are zeros: without them it is small enough for the repository, and what the
 * fuzzer changes is something.
 *
 *     record   how many zeros (32 bits), how many bytes (32 bits), the bytes
 */
#ifndef PACKED_H
#define PACKED_H

#include <stddef.h>
#include <stdint.h>

/* Whether the data are such a file, and not one that begins as an ELF file or one of zstd. */
_Bool is_packed(const uint8_t *data, size_t size);

/* Writes the file to `to`. Returns its length. What is behind `room` bytes is left out. */
size_t unpack(const uint8_t *data, size_t size, uint8_t *to, size_t room);

/* Writes the packed file to `to`. Returns its length, or 0 if it is longer than `room`. */
size_t pack(const uint8_t *file, size_t nbytes, uint8_t *to, size_t room);

#endif

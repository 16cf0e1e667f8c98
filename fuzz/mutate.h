/* SPDX-License-Identifier: MIT
 *
 * mutate.h - mutations of inputs that are packed files (packed.h).
 *
 * Half of them are libFuzzer's own, but keep each byte of the file where it was; the others damage
 * the file as test/inspect/damage.h does.
 */
#ifndef MUTATE_H
#define MUTATE_H

#include <stddef.h>
#include <stdint.h>

#include "damage.h"

/* Returns a number that follows from the input (FNV-1a): what a target draws at random. */
uint64_t hash_of(const uint8_t *data, size_t size);

/* A target's room for a file, and what it makes right again in a file that was changed, or NULL. */
struct unpacked {
    uint8_t *bytes;
    size_t room, least; /* a file of at most `least` bytes is changed by libFuzzer alone */
    void (*mend)(struct damage *file);
};

/* Does what LLVMFuzzerCustomMutator must do: changes the input, and returns its new size. */
size_t mutate_packed(const struct unpacked *u, uint8_t *data, size_t size, size_t max_size,
                     unsigned seed);

#endif
